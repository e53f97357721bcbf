#!lua
-- Stores a publication to one topic, all of it or none.
-- KEYS are the stream, the side hash, the list of marks, and the two halves of
-- the index of publishers' IDs. ARGV are: the record's version; how many
-- entries and how many bytes to keep; how large a notification may be; how long
-- the topic lives without a publication, in ms (0: for ever); the reason of the
-- end (empty: none); the turn of the source that gives a checkpoint (empty: there
-- is none), and the checkpoint; then of each event its attributes, its data, and its key in the index (empty: none).
-- It returns the IDs of the events, and for each event whether it was there.
local stream, side, marks = KEYS[1], KEYS[2], KEYS[3]
local index = {KEYS[4], KEYS[5]}
local version, keep, keepBytes, inline, life = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local reason = ARGV[6]

-- What the stream is before this publication.
local before, added, fresh = '0-0', 0, false
local info = redis.pcall('XINFO', 'STREAM', stream)
if info.err then
	if not string.find(info.err, 'no such key', 1, true) then
		return info
	end
	fresh = true
	redis.call('DEL', marks, index[1], index[2])
	redis.call('HDEL', side, 'ended', 'bytes', 'mark', 'half')
end
for i = 1, #info, 2 do
	if info[i] == 'last-generated-id' then
		before = info[i + 1]
	elseif info[i] == 'entries-added' then
		added = info[i + 1]
	end
end
local state = redis.call('HMGET', side, 'ended', 'bytes', 'mark', 'half', 'turn')
local function held(key)
	for i = 1, 2 do
		local id = redis.call('HGET', index[i], key)
		if id and #redis.call('XRANGE', stream, id, id) == 1 then
			return id
		end
	end
end

if state[1] then
	-- Only what is in already gets an answer: a publisher may have missed the first.
	local ids, again = {}, {}
	for i = 11, #ARGV, 3 do
		local id = ARGV[i] ~= '' and held(ARGV[i])
		if not id then
			ids = {}
			break
		end
		ids[#ids + 1], again[#again + 1] = id, '1'
	end
	if #ids == 0 then
		return redis.error_reply('ENDED the topic has ended')
	end
	return {ids, table.concat(again)}
end
local half = tonumber(state[4] or 1)

if ARGV[7] ~= '' and state[5] then
	-- The source of the same process has gone on from an older checkpoint.
	local process, turn = string.match(state[5], '^(.*) (%d+)$')
	local ours, old = string.match(ARGV[7], '^(.*) (%d+)$')
	if process == ours and tonumber(old) < tonumber(turn) then
		return redis.error_reply('LATE the source has gone on without this')
	end
end
-- Bytes are counted from the beginning of the topic. A mark says how many there
-- were before a certain entry; what lies between two marks goes at once.
local total, mark = tonumber(state[2] or 0), tonumber(state[3])
local chunk = keepBytes / 32
if not mark and not fresh then
	-- An older program has filled the stream.
	total, mark = redis.pcall('MEMORY', 'USAGE', stream, 'SAMPLES', 0), 0
	total = tonumber(total) or 0
	redis.call('RPUSH', marks, '0 0-0')
end

local function number(n) return string.format('%.0f', n) end

local ids, again, parts, size, last = {}, {}, {}, 0, nil
local marked, indexed = false, false
local function put(...)
	local id = redis.call('XADD', stream, 'MAXLEN', '~', keep, '*', 'v', version, ...)
	local fields = {...}
	local length = 64
	for i = 2, #fields, 2 do
		length = length + #fields[i]
	end
	if not mark or total - mark >= chunk then
		mark, marked = total, true
		redis.call('RPUSH', marks, number(total) .. ' ' .. id)
	end
	total, size, last = total + length, size + length, id
	return id
end
for i = 9, #ARGV, 3 do
	local attributes, data, key = ARGV[i], ARGV[i + 1], ARGV[i + 2]
	local id = key ~= '' and held(key)
	ids[#ids + 1] = id or put('a', attributes, 'd', data)
	again[#again + 1] = id and '1' or '0'
	if not id then
		id = ids[#ids]
		if size <= inline then
			parts[#parts + 1] = id .. ' ' .. #attributes .. ' ' .. #data .. '\n' .. attributes .. data
		end
		if key ~= '' then
			redis.call('HSET', index[half], key, id)
			indexed = true
		end
	end
end
if reason ~= '' then
	local id = put('e', reason)
	parts[#parts + 1] = id .. ' end ' .. #reason .. '\n' .. reason
	redis.call('HSET', side, 'ended', '1')
end

if size > 0 then
	redis.call('HSET', side, 'bytes', number(total), 'last', last)
	if marked then
		redis.call('HSET', side, 'mark', number(mark))
		local cut
		while true do
			local oldest, second = unpack(redis.call('LRANGE', marks, 0, 1))
			if not second or total - tonumber(string.match(oldest, '^%d+')) <= keepBytes - chunk then
				break
			end
			redis.call('LPOP', marks)
			cut = string.match(second, ' (.*)$')
		end
		if cut then
			redis.call('XTRIM', stream, 'MINID', '=', cut)
		end
	end
	-- When one half of the index has as many as the stream may hold, nothing
	-- that is in the other is still in the stream.
	if indexed and redis.call('HLEN', index[half]) >= keep + 128 then
		half = 3 - half
		redis.call('DEL', index[half])
		redis.call('HSET', side, 'half', half)
	end
	-- The notification has the entries, when they are few.
	if size > inline then
		parts = {}
	end
	redis.call('SPUBLISH', stream, version .. ' ' .. before .. ' ' .. number(added) .. ' ' .. #parts .. '\n' .. table.concat(parts))
end
if ARGV[7] ~= '' then
	redis.call('HSET', side, 'checkpoint', ARGV[8])
end
if life > 0 then
	for i = 1, #KEYS do
		redis.call('PEXPIRE', KEYS[i], life)
	end
end
return {ids, table.concat(again)}
