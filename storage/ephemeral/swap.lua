-- Replaces the data ARGV[1] by ARGV[2]; a life of 0 milliseconds keeps what remains.
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 2) ~= ARGV[1] then
	return 0
end
local new = string.sub(value, 1, 1) .. ARGV[2]
if ARGV[3] == '0' then
	redis.call('SET', KEYS[1], new, 'KEEPTTL')
else
	redis.call('SET', KEYS[1], new, 'PX', ARGV[3])
end
return 1
