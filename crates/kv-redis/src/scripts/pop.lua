-- Removes and returns the members with the lowest scores.
-- KEYS[1] key, ARGV[1] highest score, ARGV[2] how many at most.
local found = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #found > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #found - 1)
end
return found
