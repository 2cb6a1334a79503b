-- Moves due members; the conditions were judged before. From A[a+1] on:
-- - how many sources, the place of the target (0 for none) and which source it is (0 for none), the new
--   score, how many members at most, the capacity (empty for none), how many hashes;
-- - for each source: its place, the highest score, the place of its tally (0 for none);
-- - for each hash: its place, and 0 if its fields stay, 1 if they are taken, 2 if they are dropped.
-- A score behind an `n` is so much later than now; `s` is the key under way, negative.
-- Answers 1, the time, the lowest score that is left, whether more is due, and lists: for each source
-- its members with their scores; for each source its tallies; for each hash its fields, none if dropped.
local function score(v)
  if string.byte(v) == 110 then return rel(string.sub(v, 2)) end
  return v
end
local n, target, own, limit, m = A[a+1] + 0, A[a+2] + 0, A[a+3] + 0, A[a+5] + 0, A[a+7] + 0
local new, room, total = score(A[a+4]), math.huge, 0
local to = K[target]
-- Everything is read and judged before anything is written.
if to then
  s = -target
  local held = call('ZCARD', to)
  if A[a+6] ~= '' then room = math.max(0, A[a+6] - held) end
end
a = a + 7
local seen, all, pairs = {}, {}, {}
local from, maxima, moved, names, skipped = {}, {}, {}, {}, {}
for i = 1, n do
  local at = a + 3 * (i - 1)
  local key, max, want = K[A[at+1] + 0], score(A[at+2]), limit - total
  from[i], maxima[i] = key, max
  if i ~= own and want > room then want = room end
  s = -A[at+1]
  local found, mine = {}, {}
  if want == 0 then
    call('ZCARD', key)
  else
    -- So many can be members that were found before.
    found = call('ZRANGE', key, '-inf', max, 'BYSCORE', 'LIMIT', 0, want + total, 'WITHSCORES')
    if total > 0 then
      local fresh = {}
      for j = 1, #found, 2 do
        if #fresh == 2 * want then break end
        if seen[found[j]] then
          skipped[i] = true
        else
          fresh[#fresh+1], fresh[#fresh+2] = found[j], found[j+1]
        end
      end
      found = fresh
    end
    for j = 1, #found, 2 do
      local name = found[j]
      total = total + 1
      mine[#mine+1], all[total], seen[name] = name, name, true
      pairs[2*total-1], pairs[2*total] = new, name
    end
    if i ~= own then room = room - #mine end
  end
  moved[i], names[i] = found, mine
end
local tallies, bodies = {}, {}
-- The type of every key is judged before any number is.
for i = 1, n do
  local place, mine = tonumber(A[a + 3*i]), names[i]
  tallies[i] = {}
  if place > 0 then
    s = -place
    if #mine == 0 then call('HLEN', K[place]) else tallies[i] = call('HMGET', K[place], unpack(mine)) end
  end
end
a = a + 3 * n
for j = 1, m do
  local place, dropped = tonumber(A[a + 2*j - 1]), A[a + 2*j] == '2'
  s = -place
  bodies[j] = {}
  if total == 0 or dropped then
    call('HLEN', K[place])
  else
    bodies[j] = call('HMGET', K[place], unpack(all))
  end
end
for i = 1, n do
  local list = tallies[i]
  s = -A[a - 3*n + 3*i]
  for j, v in ipairs(list) do
    if not v then
      list[j] = '1'
    elseif #int(v) < 16 then
      list[j] = string.format('%.0f', v + 1)
    else
      fits(v, '1')
      list[j] = false
      permit('HINCRBY', K[-s])
      permit('HGET', K[-s])
    end
  end
  if #list > 0 then permit('HSET', K[-s]) end
end
-- Nor may a command be refused once something is written.
for i = 1, n do
  if i ~= own and #names[i] > 0 then
    s = -A[a - 3*n + 3*i - 2]
    permit(skipped[i] and 'ZREM' or 'ZREMRANGEBYRANK', from[i])
  end
end
if to and total > 0 then
  s = -target
  permit('ZADD', to)
end
for j = 1, m do
  if total > 0 and A[a + 2*j] ~= '0' then
    s = -A[a + 2*j - 1]
    permit('HDEL', K[-s])
  end
end
for i = 1, n do
  if i ~= own and #names[i] > 0 then
    s = -A[a - 3*n + 3*i - 2]
    if skipped[i] then
      call('ZREM', from[i], unpack(names[i]))
    else
      call('ZREMRANGEBYRANK', from[i], 0, #names[i] - 1)
    end
    w = true
  end
end
if to and total > 0 then
  s = -target
  call('ZADD', to, unpack(pairs))
  w = true
end
for i = 1, n do
  local place, list, plain = tonumber(A[a - 3*n + 3*i]), tallies[i], {}
  s = -place
  for j, v in ipairs(list) do
    local name = names[i][j]
    if v then
      plain[#plain+1], plain[#plain+2] = name, v
    else
      -- Longer than a float is exact.
      call('HINCRBY', K[place], name, 1)
      list[j] = call('HGET', K[place], name)
    end
  end
  if #plain > 0 then call('HSET', K[place], unpack(plain)) end
end
for j = 1, m do
  if total > 0 and A[a + 2*j] ~= '0' then
    s = -A[a + 2*j - 1]
    call('HDEL', K[A[a + 2*j - 1] + 0], unpack(all))
  end
end
local next, more = false, 0
for i = 1, n do
  local first = call('ZRANGE', from[i], 0, 0, 'WITHSCORES')[2]
  if first then
    if tonumber(first) <= tonumber(maxima[i]) then more = 1 end
    if not next or tonumber(first) < tonumber(next) then next = first end
  end
end
return {1, now, next, more, moved, tallies, bodies}
