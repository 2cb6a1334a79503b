-- What the scripts of transactions and moves have in common. A script brings along what it uses.

--[[get]]
-- The string at a key: false if nothing is there, nil if it is a structure.
local function get(key)
  local v = redis.pcall('GET', key)
  if type(v) ~= 'table' then return v end
  if string.sub(v.err, 1, 9) ~= 'WRONGTYPE' then error(v) end
end

--[[int]]
-- Fails unless the text is the one spelling of a 64-bit integer.
local function int(v)
  local digits = string.match(v, '^%-?([1-9]%d*)$')
  if v ~= '0' and (not digits or #digits > 19
      or #digits == 19 and digits > (#v == 19 and '9223372036854775807' or '9223372036854775808')) then
    error({err = 'ERR value is not an integer or out of range'})
  end
  return v
end

--[[above]]
-- Whether a 64-bit integer, as text, is greater than another. Where their nearest floats are the
-- same, their digits decide.
local function above(x, y)
  local a, b = tonumber(x), tonumber(y)
  if a ~= b then return a > b end
  if x == y then return false end
  local longer
  if #x ~= #y then longer = #x > #y else longer = x > y end
  return longer == (a > 0)
end

--[[fits]]
-- Fails unless the sum of two 64-bit integers, as text, fits 64 bits. Long ones are added in two
-- halves, which floats hold exactly.
local function fits(x, y)
  if #x < 16 and #y < 16 then return end
  local function halves(v)
    local sign, digits = 1, v
    if string.sub(v, 1, 1) == '-' then sign, digits = -1, string.sub(v, 2) end
    return sign * (tonumber(string.sub(digits, 1, -10)) or 0), sign * tonumber(string.sub(digits, -9))
  end
  local high, low = halves(x)
  local more, rest = halves(y)
  high, low = high + more, low + rest
  local carry = math.floor(low / 1e9)
  high, low = high + carry, low - carry * 1e9
  if high > 9223372036 or high == 9223372036 and low > 854775807
      or high < -9223372037 or high == -9223372037 and low < 145224192 then
    error({err = 'ERR increment or decrement would overflow'})
  end
end

--[[succ]]
-- The next positive integer, as text, exact beyond what a float holds.
local function succ(v)
  if #v < 16 then return string.format('%.0f', v + 1) end
  if v == '9223372036854775807' then error({err = 'ERR increment or decrement would overflow'}) end
  local head, nines = string.match(v, '^(.-)(9*)$')
  local last = string.sub(head, -1)
  head = string.sub(head, 1, -2) .. (last == '' and '1' or string.format('%d', last + 1))
  return head .. string.rep('0', #nines)
end

--[[token]]
-- The last token of a record: '0' if there is none.
local function token(v)
  if not v then return '0' end
  if v == '0' or string.sub(v, 1, 1) == '-' then v = '' end
  return int(v)
end

--[[after]]
-- The token behind the last one: the time, if that is later. The time is the same throughout a call,
-- so a record that was lost in between is made up for here.
local least = 0
local function after(v)
  v = token(v)
  if least < now then least = now end
  if tonumber(v) < least then v = string.format('%.0f', least) else v = succ(v) end
  least = tonumber(v) + 1
  return v
end

--[[at]]
-- An instant so much later than now, as a score.
local function at(offset)
  return math.max(-2^63, math.min(2^63, now + offset))
end

--[[rel]]
-- The same as text.
local function rel(offset)
  return string.format('%.0f', at(offset))
end

--[[scores]]
-- Scores and members of a mixed list, those told by the clock made numbers.
local function scores(first, last)
  local list = {}
  for i = first, last, 2 do
    local score = A[i]
    if string.byte(score) == 110 then score = rel(string.sub(score, 2)) end
    list[#list + 1] = score
    list[#list + 1] = A[i + 1]
  end
  return list
end

--[[head]]
-- The first member of a sorted set and its score.
local function head(key)
  local it = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return it[1], it[2]
end

--[[drop]]
-- Removes the members with the lowest scores in a range; how many there were.
local function drop(key, min, max, limit)
  local found = call('ZRANGE', key, min, max, 'BYSCORE', 'LIMIT', 0, limit)
  if #found == 0 then return 0 end
  return call('ZREM', key, unpack(found))
end

--[[add]]
-- Adds to a counter; the sum, as text where a float does not hold it.
local function add(key, by)
  local sum = call('INCRBY', key, by)
  if sum >= 2^53 or sum <= -2^53 then sum = call('GET', key) end
  return sum
end

--[[permit]]
-- Fails if this user may not run the command on the key: found out after a write it would be too late.
local function permit(command, key)
  if not redis.acl_check_cmd(command, key) then
    error({err='NOPERM the user may not run '..command})
  end
end

--[[may]]
-- The same for sending to a channel.
local function may(channel)
  if not redis.acl_check_cmd('PUBLISH', channel, '') then
    error({err='NOPERM the user may not publish to the channel'})
  end
end
