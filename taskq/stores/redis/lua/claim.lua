-- keys: stopping leases lease meta body extra due counts paused unique seq failed kept waiting
-- more keys: held of the lease, then list, ranked, wake of each queue and lane
-- ARGV: now, lease, number, how many of lane t, of lane l, then lane letter and queue of each.
-- Reply: "lost", or now, the first due time or "", whether to call again, and of the claims
-- their ids, metas, bodies, and checkpoints as pairs of a position and the bytes.
call('HDEL', STOPPING, '')
local lease, number = ARGV[2], tonumber(ARGV[3])
local room = { t = tonumber(ARGV[4]), l = tonumber(ARGV[5]) }
local held = KEYS[MORE + 1]
local ids, metas, bodies, checked = {}, {}, {}, {}
local more = 0

local function reply()
  local checkpoints = {}
  if #checked > 0 then
    local fields = {}
    for i = 1, #checked do
      fields[i] = ids[checked[i]] .. 'c'
    end
    local found = fetch(EXTRA, fields)
    for i = 1, #checked do
      if found[i] then
        checkpoints[#checkpoints + 1], checkpoints[#checkpoints + 2] = checked[i], found[i]
      end
    end
  end
  local first = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or ''
  return { format('%.3f', now), first, more, ids, metas, bodies, checkpoints }
end

local lapses = call('ZSCORE', LEASES, lease)
if not lapses or tonumber(lapses) == 0 then
  return 'lost'
end
local last = tonumber(call('HGET', LEASE, lease .. 'n') or -1)
if number <= last then
  -- Sent again: what the last call took and the lease still holds.
  if number == last then
    local all = call('SMEMBERS', held)
    local found, full = fetch(META, all), fetch(BODY, all)
    for i = 1, #all do
      local j = found[i] and parse(found[i])
      if j and j.lease == lease and tonumber(j.number) == number and match(j.state, '[xX]') then
        local n = #ids + 1
        ids[n], metas[n], bodies[n], checked[n] = all[i], found[i], full[i], n
      end
    end
  end
  return reply()
end

local READY = '^q(%d+) %S+ (%d+) (%S+) %d+r?n? %S+ (%d+ %d+ %-?%d+ %d+ %S+ %S+ %S+ %d+ %d+ %a '
  .. '%d+ %d+ %d+ .*)$'
local holding, starting = ' ' .. lease .. ' ', ' ' .. ARGV[3] .. ' ' .. stamp .. ' '
local writes, mine, skipped, taken_in_all = {}, {}, 0, 0

-- Makes the jobs of entries running, those that are current.
local function take(entries, queue)
  local wanted, places, asked = {}, {}, 0
  for i = 1, #entries do
    local place, id = match(entries[i], '^(%d+) (.+)$')
    if place then
      asked = asked + 1
      wanted[asked], places[asked] = id, place
    else
      local n = call('INCR', SEQ)
      local name = format('%012x', math.floor(now)) .. format('%020x', n)
      name = sub(name, 1, 8) .. '-' .. sub(name, 9, 12) .. '-7' .. sub(name, 14, 16) .. '-8'
        .. sub(name, 18, 20) .. '-' .. sub(name, 21)
      set_aside(name, 0, entries[i], 'not an entry of a queue', queue)
    end
  end
  local taken = 0
  if asked > 0 then
    local found, full = fetch(META, wanted), fetch(BODY, wanted)
    for i = 1, asked do
      local id, meta, body = wanted[i], found[i], full[i]
      local place, claims, how, rest
      if meta then
        claims, place, how, rest = match(meta, READY)
      end
      if place and place == places[i] and not mine[id] then
        -- The rest of it is looked at by who takes it.
        if body and sub(body, 1, 1) == '1' then
          local n = taken_in_all + 1
          taken_in_all = n
          meta = 'x' .. claims + 1 .. holding .. place .. ' ' .. how .. starting .. rest
          ids[n], metas[n], bodies[n], mine[id] = id, meta, body, true
          writes[2 * n - 1], writes[2 * n] = id, meta
          if claims ~= '0' then
            checked[#checked + 1] = n
          end
          if sub(how, 1, 1) == 'u' then
            unlock(parse(meta).key, id)
          end
          taken = taken + 1
        else
          count('q', queue, -1)
          set_aside(id, claims, body or '', body and 'the body is not a job' or 'the body is missing', queue)
        end
      elseif meta and not place and not match(meta, META_FORM) then
        count('q', queue, -1)
        set_aside(id, 0, meta, 'the record is not a job', queue)
      end
    end
  end
  skipped = skipped + #entries - taken
  return taken
end

-- The ready jobs of a sorted set whose rank is in a range.
local function take_ranked(key, from, to, queue, want)
  local got = 0
  while got < want and skipped < 1000 do
    local entries = call('ZRANGEBYSCORE', key, from, to, 'LIMIT', 0, want - got)
    if #entries == 0 then
      break
    end
    many('ZREM', key, entries)
    got = got + take(entries, queue)
  end
  return got
end

local left, some_paused = {}, call('EXISTS', PAUSED) == 1
for i = 6, #ARGV do
  local lane, queue = sub(ARGV[i], 1, 1), sub(ARGV[i], 2)
  local first = MORE + 1 + 3 * (i - 6)
  local list, ranked = KEYS[first + 1], KEYS[first + 2]
  if not some_paused or call('SISMEMBER', PAUSED, queue) == 0 then
    local want, emptied = room[lane], false
    if want > 0 and skipped < 1000 then
      local sorted, got = call('ZCARD', ranked) > 0, 0
      if sorted then
        got = take_ranked(ranked, '-inf', '(35184372088832', queue, want)
      end
      while got < want and skipped < 1000 do
        local entries = call('LPOP', list, want - got)
        if not entries then
          emptied = not sorted
          break
        end
        got = got + take(entries, queue)
      end
      if sorted then
        got = got + take_ranked(ranked, '35184372088832', '+inf', queue, want - got)
      end
      room[lane] = want - got
      count('q', queue, -got)
      count('x', queue, got)
    end
    if emptied then
      call('DEL', KEYS[first + 3])
    else
      left[#left + 1] = first
    end
  end
end
for i = 1, #left do
  local first = left[i]
  if call('EXISTS', KEYS[first + 1], KEYS[first + 2]) > 0 then
    rouse(KEYS[first + 3])
  else
    call('DEL', KEYS[first + 3])
  end
end
if skipped >= 1000 then
  more = 1
end
if #ids > 0 then
  many('HSET', META, writes)
  many('SADD', held, ids)
  call('HSET', LEASE, lease .. 'n', ARGV[3])
end
write_counts()
return reply()
