-- As throttle.lua, for the usual call: a debit of one limit of rule `g`. It costs half as much.
-- KEYS[1] the state, ARGV[1] count, ARGV[2] period, ARGV[3] what the burst fills; then
-- what the cost adds, if not the period, and the longest wait in us, if any. Answers the time and the state
-- that it found, from which the caller gets all else by `Throttle::decide_alone` in kv-core: one string,
-- since a list of numbers takes longer than the decision. Nil for a state that only the other script
-- tells apart; nothing is written then.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local count, period, full = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used, most = 0, full
local text = redis.call('GET', KEYS[1])
if text then
  local tat, rest, beyond = tonumber(string.match(text, '^g(%d+)$')), 0, 0
  if not tat then
    tat, rest, beyond = string.match(text, '^g(%d+) (%d+) ?(%d*)$')
    if not tat or string.sub(text, -1) == ' ' then
      return nil
    end
    tat, rest, beyond = tonumber(tat), tonumber(rest), tonumber(beyond) or 0
  end
  if tat >= 9007199254740992 or rest >= 9007199254740992 or beyond >= 9007199254740992 then
    return nil
  end
  if tat >= now then
    used = (tat - now) * count
    if rest > 0 then
      used = used + math.min(rest, count - 1)
    end
    if beyond > 0 then
      most = full + math.min(beyond, math.floor((4503599627370495 - full - period) / count)) * count
    end
  end
end

-- A state beyond that: the clock was set back, or the limit lowered; then even a denial writes.
local write = used > most
if write then
  used = most
end
local after = used + (ARGV[4] or period)
if after <= full or ARGV[5] and after <= full + ARGV[5] * count then
  used, write = after, true
end
if write then
  local rest = used % count
  local whole = now + (used - rest) / count
  -- In two parts, each a small number: `%.0f` takes longer, and `%d` may be of 32 bits.
  local low = whole % 100000000
  local high = (whole - low) / 100000000
  local state, over = nil, whole
  if rest > 0 then
    over = whole + 1
  end
  if used > full then
    state = string.format('g%d%08d %.0f %.0f', high, low, rest, math.ceil((used - full) / count))
  elseif rest > 0 then
    state = string.format('g%d%08d %.0f', high, low, rest)
  else
    state = string.format('g%d%08d', high, low)
  end
  redis.call('SET', KEYS[1], state, 'PXAT', math.ceil(over / 1000))
end
return time[1] .. ' ' .. time[2] .. ' ' .. (text or '')
