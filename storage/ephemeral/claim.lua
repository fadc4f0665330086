-- Marks the value as claimed and sets its life, once; answers what it was before.
local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, 1) == '0' then
	redis.call('SET', KEYS[1], '1' .. string.sub(value, 2), 'PX', ARGV[1])
end
return value
