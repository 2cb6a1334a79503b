-- As pop.lua, each member followed by its score. Scores stay the strings that the server made: a
-- Lua number would lose digits on the way out.
local found = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
if #found > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #found / 2 - 1)
end
return found
