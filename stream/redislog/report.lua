#!lua
-- Keeps a node's report, and forgets those that have run out. KEYS is the hash
-- of all reports: one key, so that it is in one slot of a cluster. ARGV are the
-- field, the report (empty: it is taken back), and its life in ms.
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
if ARGV[2] == '' then
	redis.call('HDEL', KEYS[1], ARGV[1])
else
	redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', ms + ARGV[3]) .. ' ' .. ARGV[2])
	redis.call('PEXPIRE', KEYS[1], 86400000)
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local ends = tonumber(string.match(all[i + 1], '^%d+'))
	if not ends or ends < ms then
		redis.call('HDEL', KEYS[1], all[i])
	end
end
return 1
