-- Writes a string if the one at the key has exactly the expected bytes.
-- KEYS[1] key, ARGV[1] expected bytes, ARGV[2] new value, ARGV[3..] options of SET.
-- Answers 1 if it wrote, else the string that stood in the way, in a list that is empty for none.
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then
  if string.sub(current.err, 1, 9) == 'WRONGTYPE' then
    return {}
  end
  return current
end
if not current then
  return {}
end
if current ~= ARGV[1] then
  return {current}
end
redis.call('SET', KEYS[1], ARGV[2], unpack(ARGV, 3))
return 1
