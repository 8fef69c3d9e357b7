-- What scripts have in common. The loader puts the names of the keys before it: "keys: meta body"
-- at the head of a script makes them META = KEYS[1], BODY = KEYS[2], MORE = 2; the keys after
-- those are the script's own. Of what is below, parted by empty lines, it takes what a script
-- names. ARGV[1] is the time in milliseconds since the epoch, or empty for the server's own.
--
-- What lies where:
--   meta      hash, id -> what changes about a job: a line of text (see pack)
--   body      hash, id -> "1", the length of the task's name, ":", that name, the payload
--   extra     hash, id and one letter -> r result, e errors, p progress, c checkpoint, l log
--   seq       the last number given: of an arrival, an enqueue, an end
--   due       sorted set of "order id" by due time: scheduled and retrying jobs
--   counts    hash, state letter and queue -> how many
--   paused    set of queues
--   unique    hash, key -> "until id": the job that holds it
--   leases    sorted set of lease by the time when it lapses; 0: ended
--   lease     hash, lease and one letter -> t time to live, n last number, s seen, r running ids
--   info      hash, lease -> what the worker says of itself
--   stopping  hash, id -> lease: running jobs that are asked to stop
--   waiting   sorted set of ids somebody waits for, by the time when they stop waiting
--   succeeded, failed, cancelled, expired   sorted sets of ids by the number of their end
--   kept      sorted set of "letter from to" by the time when the jobs that ended in that state
--             with those numbers are to be deleted: one for all that ended in one call
-- and for each queue and lane
--   list      "place id" of ready jobs of priority 0, in order of arrival
--   ranked    sorted set of the same, of other priorities and of those given back
--   wake      a token if there may be something new, for the blocking pop of a waiting claim
-- and for each lease
--   held      set of the ids that run under it
--   wake      as above, for this lease alone
--
-- Scripts that have to work when memory is full begin with a removal: once a script has
-- written, the server refuses it nothing any more.
local call, match, sub, format = redis.call, string.match, string.sub, string.format
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + time[2] / 1000
end

-- Rounded up, so that nothing is early.
local function whole(ms)
  return format('%.0f', math.ceil(ms))
end

local stamp = format('%.0f', math.ceil(now))

-- The stack of Lua holds some 8,000 values; a multiple of 4 keeps pairs together.
local CHUNK = 4000

local function many(command, key, values)
  for from = 1, #values, CHUNK do
    call(command, key, unpack(values, from, math.min(from + CHUNK - 1, #values)))
  end
end

local function fetch(key, fields)
  if #fields > 0 and #fields <= CHUNK then
    return call('HMGET', key, unpack(fields))
  end
  local values = {}
  for from = 1, #fields, CHUNK do
    local part = call('HMGET', key, unpack(fields, from, math.min(from + CHUNK - 1, #fields)))
    for i = 1, #part do
      values[from + i - 1] = part[i]
    end
  end
  return values
end

local changes = {}

local function count(letter, queue, n)
  local field = letter .. queue
  changes[field] = (changes[field] or 0) + n
end

local function write_counts()
  for field, n in pairs(changes) do
    if n ~= 0 then
      call('HINCRBY', COUNTS, field, n)
    end
  end
end

-- A meta: state and claims, lease, place, lock, number of its claim, started, attempts, deaths,
-- priority, due, deadline, expires, ended, enqueued, order of enqueue, and what the jobs of a
-- task have in common: lane, keep, keep_failed, length of the queue's name, that name (and the
-- unique key). A state in upper case: it was asked to stop. The lock: "-", or u(ntil start) or
-- d(one) with its time to live. The number: with r if the worker that lost the job had started
-- to run it, with n if there are notes of this claim.
local META_FORM = '^(%a)(%d+) (%S+) (%d+) (%S+) (%d+)(r?n?) (%S+) (%d+) (%d+) (%-?%d+) (%d+) (%S+) '
  .. '(%S+) (%S+) (%d+) (%d+) (%a) (%d+) (%d+) (%d+) (.*)$'

local function parse(meta)
  local j, length, rest = {}, nil, nil
  j.state, j.claims, j.lease, j.place, j.lock, j.number, j.ran, j.started, j.attempts, j.deaths,
    j.priority, j.due, j.deadline, j.expires, j.ended, j.enqueued, j.order, j.lane, j.keep,
    j.keep_failed, length, rest = match(meta, META_FORM)
  if not length then
    return nil
  end
  j.queue, j.key = sub(rest, 1, length), sub(rest, length + 1)
  return j
end

local function pack(j)
  return j.state .. j.claims .. ' ' .. j.lease .. ' ' .. j.place .. ' ' .. j.lock .. ' '
    .. j.number .. j.ran .. ' ' .. j.started .. ' ' .. j.attempts .. ' ' .. j.deaths .. ' '
    .. j.priority .. ' ' .. j.due .. ' ' .. j.deadline .. ' ' .. j.expires .. ' ' .. j.ended .. ' '
    .. j.enqueued .. ' ' .. j.order .. ' ' .. j.lane .. ' ' .. j.keep .. ' ' .. j.keep_failed
    .. ' ' .. #j.queue .. ' ' .. j.queue .. j.key
end

local function due_entry(order, id)
  return format('%015d %s', order, id)
end

-- The rank of a ready job: priority first, then its place.
local SPAN = 35184372088832

local function rank(priority, place)
  return format('%.0f', place - priority * SPAN)
end

-- One token is enough: who takes it and leaves jobs behind puts it back.
local function rouse(wake)
  if call('LLEN', wake) == 0 then
    call('RPUSH', wake, '1')
  end
end

-- Adds to the due jobs; if the first one is another then, rouses one who sleeps until the old one.
local function schedule(entries, wakes)
  if #entries == 0 then
    return
  end
  local before = call('ZRANGE', DUE, 0, 0)[1]
  many('ZADD', DUE, entries)
  local first = call('ZRANGE', DUE, 0, 0)[1]
  if first ~= before and wakes[first] then
    rouse(wakes[first])
  end
end

-- The job that holds a unique key, with its meta.
local function holder(key)
  local entry = call('HGET', UNIQUE, key)
  if not entry then
    return nil
  end
  local till, id = match(entry, '^(%S+) (.*)$')
  if not id or (till ~= '-' and tonumber(till) <= now) then
    return nil
  end
  local meta = call('HGET', META, id)
  if meta and match(meta, '^[dqtxX]') then
    return id, meta
  end
  return nil
end

local function lock(key, id, how)
  local ttl = sub(how, 2)
  local till = ttl == '' and '-' or whole(now + ttl)
  call('HSET', UNIQUE, key, till .. ' ' .. id)
end

local function unlock(key, id)
  local entry = call('HGET', UNIQUE, key)
  if entry and match(entry, '^%S+ (.*)$') == id then
    call('HDEL', UNIQUE, key)
  end
end

-- Items after one another as "length:item", their number in front; the oldest go when there
-- are more than `most`.
local function append(stored, items, most)
  local n, rest
  if stored then
    n, rest = match(stored, '^(%d+);(.*)$')
  end
  n = tonumber(n) or 0
  local parts = { rest or '' }
  for i = 1, #items do
    parts[#parts + 1] = #items[i] .. ':' .. items[i]
  end
  n, rest = n + #items, table.concat(parts)
  while n > most do
    local length, from = match(rest, '^(%d+):()')
    if not length then
      return '0;'
    end
    rest = sub(rest, from + length)
    n = n - 1
  end
  return n .. ';' .. rest
end

local function forget_extras(ids)
  local fields = {}
  for i = 1, #ids do
    local id, n = ids[i], 5 * (i - 1)
    fields[n + 1], fields[n + 2], fields[n + 3] = id .. 'r', id .. 'e', id .. 'p'
    fields[n + 4], fields[n + 5] = id .. 'c', id .. 'l'
  end
  many('HDEL', EXTRA, fields)
end

local function forget(ids)
  many('HDEL', META, ids)
  many('HDEL', BODY, ids)
  forget_extras(ids)
end

-- Tells those who wait for one of the jobs.
local function tell(ids)
  if #ids == 0 or call('ZCARD', WAITING) == 0 then
    return
  end
  local channel = sub(WAITING, 1, -8) .. 'done:'
  for i = 1, #ids do
    if call('ZREM', WAITING, ids[i]) == 1 then
      call('PUBLISH', channel .. ids[i], '')
    end
  end
end

local function ended_entry(letter, from, to)
  return format('%s %.0f %.0f', letter, from, to)
end

-- Takes an id out of a set of ended ones.
local function revive(set, letter, id)
  local n = call('ZSCORE', set, id)
  if n then
    call('ZREM', set, id)
    call('ZREM', KEPT, ended_entry(letter, n, n))
  end
end

-- Makes a failed job of what can't be read.
local function set_aside(id, claims, raw, reason, queue)
  local n = call('INCR', SEQ)
  local keep_failed = 2592000000
  call('HSET', META, id, pack({
    state = 'f', place = n, claims = claims, lock = '-', lease = '-', number = 0, ran = '',
    started = '-', attempts = 0, deaths = 0, priority = 0, due = stamp, expires = '-',
    deadline = '-', ended = stamp, enqueued = stamp, order = n, lane = 't', keep = 0,
    keep_failed = format('%.0f', keep_failed), queue = queue, key = '',
  }))
  call('HSET', BODY, id, '115:taskq.malformed' .. raw)
  call('HSET', EXTRA, id .. 'e', append(nil, { reason }, 1))
  call('ZADD', FAILED, n, id)
  call('ZADD', KEPT, whole(now + keep_failed), ended_entry('f', n, n))
  count('f', queue, 1)
  tell({ id })
end

-- What of a body is before the payload; nil if it is not a body.
local function head_of(body)
  local length, from = match(body or '', '^1(%d+):()')
  if length and length ~= '0' and from + length - 1 <= #body then
    return sub(body, 1, from + length - 1)
  end
  return nil
end
