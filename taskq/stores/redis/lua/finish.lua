-- keys: stopping leases meta body extra due counts unique seq waiting succeeded failed cancelled expired kept
-- more keys: held of the lease, then list, ranked, wake of each queue and lane that gets jobs back
-- ARGV: now, lease, number of outcomes, then for each run of equal outcomes their description,
-- how many they are, and for each its id, claims and what the description's letters name:
-- r result, e error, p payload, b body.
-- Reply: for each outcome that was not simply written its number and what happened.
call('HDEL', STOPPING, '')
local lease, held = ARGV[2], KEYS[MORE + 1]
local lapses = call('ZSCORE', LEASES, lease)
local alive = lapses and tonumber(lapses) ~= 0
local ended_sets = { s = SUCCEEDED, f = FAILED, c = CANCELLED, e = EXPIRED }
local number = call('INCRBY', SEQ, ARGV[3]) - ARGV[3]
local RUNNING = '^([xX])(%d+ %S+) (%d+ (%S+) %d+r?n? %S+) %d+ %d+ %-?%d+ (%d+ %S+) (%S+) %S+ '
  .. '(%d+ %d+) (%a %d+ %d+ %d+ .*)$'
local suffix = ' ' .. lease
-- Own counters, for "#" takes long in a loop.
local writes, extras, over, left, written = {}, {}, {}, {}, {}
local gone, gone_with_extras = {}, {}
local wrote, extra, leaving = 0, 0, 0
local listening = call('ZCARD', WAITING) > 0
local ends, sizes = { s = {}, f = {}, c = {}, e = {} }, { s = 0, f = 0, c = 0, e = 0 }
local lists, ranked, dues, wakes, reply = {}, {}, {}, {}, {}
local at, index = 4, 0

-- What jobs have in common is read once: keep times, queue, unique key, and how many of them
-- went to which state, and where their end numbers begin and end.
local known = {}
local function read(common)
  local keep, keep_failed, length, rest = match(common, '^%a (%d+) (%d+) (%d+) (.*)$')
  local its = {
    keep = keep, keep_failed = keep_failed, queue = sub(rest, 1, length),
    key = sub(rest, length + 1), to = {}, from = {}, till = {},
  }
  known[common] = its
  return its
end

local function push(lists_of, first, values)
  local entries = lists_of[first]
  if not entries then
    entries = {}
    lists_of[first] = entries
  end
  for i = 1, #values do
    entries[#entries + 1] = values[i]
  end
end

while at <= #ARGV do
  local wanted, attempts, deaths, started, delay, priority, where, parts =
    match(ARGV[at], '^(%a) (%d+) (%d+) (%d) (%d+) (%-?%d+) (%d+) (%a*)$')
  local n, width = tonumber(ARGV[at + 1]), 2 + #parts
  at = at + 2
  local later = (wanted == 't' or wanted == 'd') and not (wanted == 't' and delay == '0')
  local due_at = later and whole(now + delay)
  local first = MORE + 1 + 3 * where
  local numbers = ' ' .. attempts .. ' ' .. deaths .. ' ' .. priority .. ' '

  local ids = {}
  for i = 1, n do
    ids[i] = ARGV[at + (i - 1) * width]
  end
  local found = fetch(META, ids)
  for i = 1, n do
    local id, meta, problem = ids[i], found[i], nil
    local state, token, start, how, due, expires, enqueued, common
    local asked = ARGV[at + 1] .. suffix
    index = index + 1
    number = number + 1
    if meta then
      state, token, start, how, due, expires, enqueued, common = match(meta, RUNNING)
    end
    if not meta then
      -- Only this token can have ended it, with a record that is not kept.
      problem = alive and 'already' or 'lost'
    elseif written[id] then
      problem = written[id] == asked and 'already' or 'lost'
    elseif not state then
      problem = match(meta, '^%a(%d+ %S+) ') == asked and 'already' or 'lost'
      if not match(meta, META_FORM) then
        leaving = leaving + 1
        left[leaving] = id
        set_aside(id, 0, meta, 'the record is not a job', 'taskq.malformed')
        problem = 'lost'
      end
    elseif not alive or token ~= asked then
      problem = 'lost'
    end
    if problem then
      reply[#reply + 1], reply[#reply + 2] = index, problem
    else
      local its, letter = known[common] or read(common), wanted
      written[id] = token
      leaving = leaving + 1
      left[leaving] = id
      if state == 'X' then
        call('HDEL', STOPPING, id)
        if letter ~= 's' then
          letter = 'c'
          reply[#reply + 1], reply[#reply + 2] = index, 'cancelled'
        end
      end
      local set = ends[letter]
      local its_keep = letter == 'f' and its.keep_failed or its.keep
      local vanishes = set and its_keep == '0'
      for k = 1, vanishes and 0 or #parts do
        local part, value = sub(parts, k, k), ARGV[at + 1 + k]
        if part == 'r' then
          if set and letter == wanted then
            extras[extra + 1], extras[extra + 2] = id .. 'r', value
            extra = extra + 2
          end
        elseif part == 'e' then
          local errors = append(call('HGET', EXTRA, id .. 'e'), { value }, 25)
          extras[extra + 1], extras[extra + 2] = id .. 'e', errors
          extra = extra + 2
        elseif part == 'p' then
          local head = head_of(call('HGET', BODY, id))
          if head then
            call('HSET', BODY, id, head .. value)
          end
        else
          call('HSET', BODY, id, value)
        end
      end
      if started == '1' then
        expires = '-'
      end
      local ended, shown, counted = '-', letter, letter
      if set then
        ended = stamp
        if listening then
          over[#over + 1] = id
        end
        if how ~= '-' then
          unlock(its.key, id)
        end
        if vanishes then
          gone[#gone + 1] = id
          counted = 'gone'
          -- A first claim without notes has left nothing else.
          if sub(token, 1, 2) ~= '1 ' or string.find(start, 'n', 1, true) then
            gone_with_extras[#gone_with_extras + 1] = id
          end
        else
          local size = sizes[letter]
          set[size + 1], set[size + 2] = number, id
          sizes[letter] = size + 2
          its.from[letter] = its.from[letter] or number
          its.till[letter] = number
          if state == 'X' then
            shown = string.upper(letter)
          end
        end
      elseif later then
        due = due_at .. match(due, ' .*$')
        local entry = due_entry(match(enqueued, ' (.*)$'), id)
        dues[#dues + 1], dues[#dues + 2] = due_at, entry
        wakes[entry] = KEYS[first + 3]
      else
        local place = match(start, '^%d+')
        if letter == 't' then
          -- A retry at once: it arrives anew.
          start = number .. sub(start, #place + 1)
          due, place = stamp .. match(due, ' .*$'), number
        end
        if letter == 't' and priority == '0' then
          push(lists, first, { place .. ' ' .. id })
        else
          push(ranked, first, { rank(priority, place), place .. ' ' .. id })
        end
        shown, counted = 'q', 'q'
      end
      its.to[counted] = (its.to[counted] or 0) + 1
      if not vanishes then
        writes[wrote + 1] = id
        writes[wrote + 2] = shown .. token .. ' ' .. start .. numbers .. due .. ' ' .. expires
          .. ' ' .. ended .. ' ' .. enqueued .. ' ' .. common
        wrote = wrote + 2
      end
    end
    at = at + width
  end
end

many('HSET', META, writes)
many('HSET', EXTRA, extras)
many('SREM', held, left)
for letter, set in pairs(ends) do
  many('ZADD', ended_sets[letter], set)
end
for _, its in pairs(known) do
  for letter, n in pairs(its.to) do
    count('x', its.queue, -n)
    if letter ~= 'gone' then
      count(letter, its.queue, n)
    end
  end
  for letter, from in pairs(its.from) do
    local keep = letter == 'f' and its.keep_failed or its.keep
    call('ZADD', KEPT, whole(now + keep), ended_entry(letter, from, its.till[letter]))
  end
end
many('HDEL', META, gone)
many('HDEL', BODY, gone)
forget_extras(gone_with_extras)
for first, entries in pairs(lists) do
  many('RPUSH', KEYS[first + 1], entries)
  rouse(KEYS[first + 3])
end
for first, entries in pairs(ranked) do
  many('ZADD', KEYS[first + 2], entries)
  rouse(KEYS[first + 3])
end
schedule(dues, wakes)
if listening then
  tell(over)
end
write_counts()
return reply
