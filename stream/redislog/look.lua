#!lua flags=no-writes
-- Says what a stream is, and returns a page of its entries.
-- KEYS are the stream and the side hash. ARGV are: the ID behind which the page
-- begins; how many entries and about how many bytes it may have; and how many
-- entries the stream had, and its last ID, when nothing is to be said if that
-- is still so (-1: say it anyway).
-- It returns nothing; or the time in s and µs; and where the stream exists, how
-- many entries it has and has ever had, the ID of its first, its last ID ever,
-- whether there are more entries behind the page, and the page.
local stream, side = KEYS[1], KEYS[2]
local from, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local length = redis.call('XLEN', stream)
if length == tonumber(ARGV[4]) and (redis.call('HGET', side, 'last') or '') == ARGV[5] then
	return {}
end
local now = redis.call('TIME')
local info = redis.pcall('XINFO', 'STREAM', stream)
if info.err then
	if string.find(info.err, 'no such key', 1, true) then
		return now
	end
	return info
end
local is = {}
for i = 1, #info, 2 do
	is[info[i]] = info[i + 1]
end

local page, size, count, more = {}, 0, 1, 1
while size < room and #page < most do
	local found = redis.call('XRANGE', stream, '(' .. from, '+', 'COUNT', count)
	for _, entry in ipairs(found) do
		for _, field in ipairs(entry[2]) do
			size = size + #field
		end
		if size > room and #page > 0 then
			break
		end
		page[#page + 1] = entry
		from = entry[1]
	end
	if size <= room and #found < count then
		more = 0
		break
	end
	-- As many again as are likely to fit.
	local fit = math.floor((room - size) / (size / #page + 1))
	count = math.max(1, math.min(fit, 2 * count, 32, most - #page))
end
return {now[1], now[2], length, is['entries-added'], is['recorded-first-entry-id'], is['last-generated-id'], more, page}
