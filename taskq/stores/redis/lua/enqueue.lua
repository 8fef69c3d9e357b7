-- keys: seq meta body extra unique due counts
-- more keys: list, ranked, wake of each queue and lane of the jobs
-- ARGV: now, number of jobs, then for each run of jobs with equal options those options, how
-- many they are, and for each its id, body and, with a lock, unique key.
-- Reply: for each job that was not created its number, what happened, the id to look at.
local total = tonumber(ARGV[2])
local place = call('INCRBY', SEQ, total) - total
local metas, bodies, dues, wakes = {}, {}, {}, {}
local lists, ranked, fresh, reply = {}, {}, {}, {}
local at, index = 3, 0

local function moment(text)
  local kind, ms = match(text, '^([+@])(.+)$')
  if kind then
    return tonumber(ms) + (kind == '+' and now or 0)
  end
  return nil
end

while at <= #ARGV do
  local due, expires, deadline, priority, lane, keep, keep_failed, how, on_duplicate, where,
    length, queue = match(ARGV[at],
      '^(%S+) (%S+) (%S+) (%S+) (%a) (%d+) (%d+) (%S+) (%a) (%d+) (%d+) (.*)$')
  local n, width = tonumber(ARGV[at + 1]), how == '-' and 2 or 3
  at = at + 2

  local due_at = moment(due)
  local waits = due_at and due_at > now
  due = waits and whole(due_at) or stamp
  expires = expires == '-' and '-' or whole(due + expires)
  deadline = moment(deadline)
  deadline = deadline and whole(deadline) or '-'
  local first = MORE + 3 * where
  local list, rank_key, wake = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  local letter = waits and 'd' or 'q'
  local front = letter .. '0 - '
  local middle = ' ' .. how .. ' 0 - 0 0 ' .. priority .. ' ' .. due .. ' ' .. deadline .. ' '
    .. expires .. ' - ' .. stamp .. ' '
  local tail = ' ' .. lane .. ' ' .. keep .. ' ' .. keep_failed .. ' ' .. length .. ' ' .. queue

  -- Puts a job that is in no state where its options say.
  local function arrive(id, order)
    if waits then
      local entry = due_entry(order, id)
      dues[#dues + 1], dues[#dues + 2] = due, entry
      wakes[entry] = wake
    elseif priority == '0' then
      local entries = lists[first]
      if not entries then
        entries = {}
        lists[first] = entries
      end
      entries[#entries + 1] = place .. ' ' .. id
    else
      local entries = ranked[first]
      if not entries then
        entries = {}
        ranked[first] = entries
      end
      entries[#entries + 1] = rank(priority, place)
      entries[#entries + 1] = place .. ' ' .. id
    end
    count(letter, queue, 1)
  end

  local ids = {}
  for i = 1, n do
    ids[i] = ARGV[at + (i - 1) * width]
  end
  local known = fetch(META, ids)
  for i = 1, n do
    local id, body = ids[i], ARGV[at + 1]
    index = index + 1
    place = place + 1
    if known[i] or fresh[id] then
      reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = index, 'exists', id
    elseif how == '-' then
      fresh[id] = true
      metas[#metas + 1], metas[#metas + 2] = id, front .. place .. middle .. place .. tail
      bodies[#bodies + 1], bodies[#bodies + 2] = id, body
      arrive(id, place)
    else
      -- Written at once, for the next job may have the same key.
      local key = ARGV[at + 2]
      local other, meta = holder(key)
      local j = other and on_duplicate == 'p' and parse(meta)
      if not other then
        fresh[id] = true
        call('HSET', META, id, front .. place .. middle .. place .. tail .. key)
        call('HSET', BODY, id, body)
        lock(key, id, how)
        arrive(id, place)
      elseif on_duplicate ~= 'p' then
        reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = index, 'duplicate', other
      elseif not j or j.state == 'x' or j.state == 'X' then
        reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = index, 'busy', other
      else
        if j.state ~= 'q' then
          local entry = due_entry(j.order, other)
          call('ZREM', DUE, entry)
          -- It may have been put there by this very call.
          for k = #dues, 2, -2 do
            if dues[k] == entry then
              table.remove(dues, k)
              table.remove(dues, k - 1)
            end
          end
        end
        count(j.state, j.queue, -1)
        j.state, j.place, j.lock, j.attempts, j.deaths = letter, place, how, 0, 0
        j.priority, j.due, j.expires, j.deadline = priority, due, expires, deadline
        j.lane, j.keep, j.keep_failed, j.queue, j.key = lane, keep, keep_failed, queue, key
        call('HSET', META, other, pack(j))
        call('HSET', BODY, other, body)
        -- They belong to the arguments that are overwritten.
        call('HDEL', EXTRA, other .. 'p', other .. 'c')
        lock(key, other, how)
        arrive(other, j.order)
        reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = index, 'replaced', other
      end
    end
    at = at + width
  end
end

many('HSET', META, metas)
many('HSET', BODY, bodies)
for first, entries in pairs(lists) do
  many('RPUSH', KEYS[first + 1], entries)
  rouse(KEYS[first + 3])
end
for first, entries in pairs(ranked) do
  many('ZADD', KEYS[first + 2], entries)
  rouse(KEYS[first + 3])
end
schedule(dues, wakes)
-- A queue that had a job for the time of this call only is known all the same.
for field, n in pairs(changes) do
  if n == 0 then
    call('HSETNX', COUNTS, field, 0)
  end
end
write_counts()
return reply
