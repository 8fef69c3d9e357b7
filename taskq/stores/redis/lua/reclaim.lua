-- keys: stopping leases lease info meta body extra counts seq failed kept waiting
-- more keys: held of the lease, then held and wake of each dead one
-- ARGV: now, lease, number, limit, the dead leases
-- Reply: as that of claim.
call('HDEL', STOPPING, '')
local lease, number, limit = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local held = KEYS[MORE + 1]
local ids, metas, bodies = {}, {}, {}

local function reply()
  local fields, checkpoints = {}, {}
  for i = 1, #ids do
    fields[i] = ids[i] .. 'c'
  end
  local found = fetch(EXTRA, fields)
  for i = 1, #ids do
    if found[i] then
      checkpoints[#checkpoints + 1], checkpoints[#checkpoints + 2] = i, found[i]
    end
  end
  return { format('%.3f', now), '', 0, ids, metas, bodies, checkpoints }
end

local lapses = call('ZSCORE', LEASES, lease)
if not lapses or tonumber(lapses) == 0 then
  return 'lost'
end
local last = tonumber(call('HGET', LEASE, lease .. 'n') or -1)
if number <= last then
  if number == last then
    local all = call('SMEMBERS', held)
    local found, full = fetch(META, all), fetch(BODY, all)
    for i = 1, #all do
      local j = found[i] and parse(found[i])
      if j and j.lease == lease and tonumber(j.number) == number and match(j.state, '[xX]') then
        ids[#ids + 1], metas[#metas + 1], bodies[#bodies + 1] = all[i], found[i], full[i]
      end
    end
  end
  return reply()
end

local writes = {}
for i = 5, #ARGV do
  local dead, first = ARGV[i], MORE + 1 + 2 * (i - 5)
  local theirs = KEYS[first + 1]
  local lapsed = call('ZSCORE', LEASES, dead)
  if dead ~= lease and lapsed and tonumber(lapsed) <= now then
    call('ZADD', LEASES, 0, dead)
    local ran = {}
    for id in string.gmatch(call('HGET', LEASE, dead .. 'r') or '', '[^%z]+') do
      ran[id] = 'r'
    end
    local taken = #ids < limit and call('SPOP', theirs, limit - #ids) or {}
    local found, full = fetch(META, taken), fetch(BODY, taken)
    for k = 1, #taken do
      local id = taken[k]
      local j = found[k] and parse(found[k])
      if found[k] and not j then
        set_aside(id, 0, found[k], 'the record is not a job', 'taskq.malformed')
      elseif j and j.lease == dead and match(j.state, '[xX]') then
        j.claims = j.claims + 1
        if head_of(full[k]) then
          j.lease, j.number, j.ran, j.started = lease, ARGV[3], ran[id] or '', stamp
          local n = #ids + 1
          ids[n], metas[n], bodies[n] = id, pack(j), full[k]
          writes[2 * n - 1], writes[2 * n] = id, metas[n]
          if j.state == 'X' then
            call('HSET', STOPPING, id, lease)
          end
        else
          count('x', j.queue, -1)
          call('HDEL', STOPPING, id)
          set_aside(id, j.claims, full[k] or '', 'the body is not a job', j.queue)
        end
      end
    end
    if call('EXISTS', theirs) == 0 then
      call('ZREM', LEASES, dead)
      call('HDEL', LEASE, dead .. 't', dead .. 'n', dead .. 's', dead .. 'r')
      call('HDEL', INFO, dead)
    end
    -- A claim of that lease may be waiting; it learns that it has lost it.
    rouse(KEYS[first + 2])
    call('PEXPIRE', KEYS[first + 2], 60000)
  end
end
if #ids > 0 then
  many('HSET', META, writes)
  many('SADD', held, ids)
  call('HSET', LEASE, lease .. 'n', ARGV[3])
end
write_counts()
return reply()
