-- Adds to a counter; if this creates it, gives it a deadline, which may be past.
-- KEYS[1] key, ARGV[1] addend, ARGV[2] deadline in milliseconds since the epoch.
-- Answers the sum as text: a Lua number would lose digits.
local created = redis.call('EXISTS', KEYS[1]) == 0
-- A command that this user may not run must not be found out after the first write.
for _, command in ipairs({'GET', 'PEXPIREAT'}) do
  if not redis.acl_check_cmd(command, KEYS[1]) then
    return redis.error_reply('NOPERM the user may not run ' .. command)
  end
end
redis.call('INCRBY', KEYS[1], ARGV[1])
local sum = redis.call('GET', KEYS[1])
if created then
  redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
return sum
