-- Decides whether some limits let a request pass, and debits all of them or none: the arithmetic of
-- `Throttle::decide` in kv-core, in whole numbers below 2^53, which divide exactly here, too.
-- KEYS the states. ARGV[1] cost, ARGV[2] longest wait in us, ARGV[3] mode: d(ebit), p(eek), r(efund);
-- then for each key four: its rule and its numbers, `g` count period burst or `f`, `s` count length 0.
-- Answers the time in us and, for each limit, whether it allows the request (1 or 0), how much remains,
-- and in how many us to retry and to be unused. Or which key holds another type: {-1, at}; or what is
-- no state: {-2, at}.
local floor, ceil, min, match, format = math.floor, math.ceil, math.min, string.match, string.format
local cost, wait, mode = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local patterns = {
  g = '^g(%d+)( ?%d*)( ?%d*)$',
  f = '^f(%d+) (%d+) (%d+)$',
  s = '^s(%d+) (%d+) (%d+) (%d+)$',
}

local function number(digits)
  if not digits or digits == '' then
    return 0
  end
  local value = tonumber(digits)
  return value and value < 9007199254740992 and value
end

-- The rule and the numbers of a state; nothing for what is none.
local function parse(text)
  local rule = string.sub(text, 1, 1)
  local pattern = patterns[rule]
  local a, b, c, d
  if pattern then
    a, b, c, d = match(text, pattern)
  end
  if a then
    a, b, c, d = number(a), number(b), number(c), number(d)
    if a and b and c and d then
      return rule, a, b, c, d
    end
  end
end

local allowed = true
local limits = {}
for at, key in ipairs(KEYS) do
  local text = redis.pcall('GET', key)
  local stored, a, b, c, d
  if type(text) == 'string' then
    stored, a, b, c, d = parse(text)
    if not stored then
      return {-2, at}
    end
  elseif text then
    return string.sub(text.err, 1, 9) == 'WRONGTYPE' and {-1, at} or text
  end

  local first = at * 4
  local rule, count, length = ARGV[first], tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  -- What is used before and after it: for `s` of this window, with `previous` beside it.
  local before, after, previous, previous_after, retry, cut = 0, 0, 0, 0, 0, false
  -- What a burst fills; or which window it is, and how much of it is left.
  local full, id, left
  if rule == 'g' then
    full = tonumber(ARGV[first + 3]) * length
    if stored == 'g' and a >= now then
      before = (a - now) * count + min(b, count - 1)
      local most = full
      if c > 0 then
        most = full + min(c, floor((4503599627370495 - full - length) / count)) * count
      end
      -- The clock was set back, or the limit lowered: even a denial writes it, or the limit would
      -- stay full until the clock is there again.
      if before > most then
        before, cut = most, true
      end
    end
    if mode == 'r' then
      after = math.max(0, before - cost * length)
    else
      after = before + cost * length
      if after > full then
        retry = ceil((after - full) / count)
      end
    end
  else
    id = floor(now / length)
    left = (id + 1) * length - now
    if stored == rule and a == length then
      if b >= id then
        before, previous, cut = min(c, count), min(d, count), b > id
      elseif rule == 's' and b + 1 == id then
        previous = min(c, count)
      end
    end
    if mode == 'r' then
      after = math.max(0, before - cost)
      previous_after = math.max(0, previous - (cost - (before - after)))
    else
      after, previous_after = before + cost, previous
      if rule == 'f' then
        retry = after > count and left or 0
      elseif after > count then
        retry = left + length - floor((count - cost) * length / before)
      elseif previous * left + after * length > count * length then
        retry = left - floor((count - after) * length / previous)
      end
    end
  end
  if retry > wait then
    allowed = false
  end
  limits[at] = {rule, count, length, full or id, left, retry, cut, before, previous, after, previous_after}
end

local reply, writes = {now}, {}
for at, it in ipairs(limits) do
  local rule, count, length, full, left, retry, cut, used, previous = unpack(it, 1, 9)
  local id = full
  local due = mode == 'd' and cut
  if allowed and mode ~= 'p' then
    due = mode == 'd' or used > 0 or previous > 0
    used, previous = it[10], it[11]
  end
  local remaining, reset, state = 0, 0, nil
  if rule == 'g' then
    if used < full then
      remaining = floor((full - used) / length)
    end
    reset = ceil(used / count)
    if due and used > 0 then
      local whole, rest = now + floor(used / count), used % count
      if used > full then
        state = format('g%.0f %.0f %.0f', whole, rest, ceil((used - full) / count))
      elseif rest > 0 then
        state = format('g%.0f %.0f', whole, rest)
      else
        state = format('g%.0f', whole)
      end
    end
  elseif rule == 'f' then
    remaining = count - used
    if used > 0 then
      reset = left
      state = format('f%.0f %.0f %.0f', length, id, used)
    end
  else
    local room = count * length - previous * left - used * length
    if room > 0 then
      remaining = floor(room / length)
    end
    if used > 0 or previous > 0 then
      reset = used > 0 and left + length or left
      state = format('s%.0f %.0f %.0f %.0f', length, id, used, previous)
    end
  end
  if due then
    if state then
      writes[#writes + 1] = {'SET', KEYS[at], state, 'PXAT', format('%.0f', ceil((now + reset) / 1000))}
    else
      writes[#writes + 1] = {'DEL', KEYS[at]}
    end
  end
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = retry <= wait and 1 or 0, remaining, retry, reset
end
-- A command that this user may not run must not be found out after the first write, which is its own proof.
for at = 2, #writes do
  local command = writes[at][1]
  if command ~= writes[1][1] and not redis.acl_check_cmd(command, writes[at][2]) then
    return redis.error_reply('NOPERM the user may not run ' .. command)
  end
end
for _, write in ipairs(writes) do
  redis.call(unpack(write))
end
return reply
