-- keys: waiting meta body extra counts succeeded failed cancelled expired kept
-- ARGV: now, limit, how many ended jobs of each state to leave
-- Reply: how many were deleted.
call('ZREMRANGEBYSCORE', WAITING, '-inf', format('%.3f', now))
local limit, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local ended_sets = { s = SUCCEEDED, f = FAILED, c = CANCELLED, e = EXPIRED }
local gone = {}

-- Deletes some of the ids of an ended state, given with their numbers.
local function drop(letter, ids, due_only)
  local names = {}
  for i = 1, #ids, 2 do
    names[#names + 1] = ids[i]
  end
  local found = fetch(META, names)
  for i = 1, #names do
    local id, n = names[i], ids[2 * i]
    local j = found[i] and parse(found[i])
    local here = j and string.lower(j.state) == letter
    local keep = here and (letter == 'f' and j.keep_failed or j.keep)
    if not (due_only and here and j.ended + keep > now) then
      call('ZREM', ended_sets[letter], id)
      call('ZREM', KEPT, ended_entry(letter, n, n))
      if here then
        count(letter, j.queue, -1)
      end
      if here or not j then
        gone[#gone + 1] = id
      end
    end
  end
end

local due = call('ZRANGEBYSCORE', KEPT, '-inf', format('%.3f', now), 'LIMIT', 0, limit)
for i = 1, #due do
  local letter, from, to = match(due[i], '^([sfce]) (%d+) (%d+)$')
  local room = limit - #gone
  if room <= 0 then
    break
  end
  if letter then
    local set = ended_sets[letter]
    drop(letter, call('ZRANGEBYSCORE', set, from, to, 'WITHSCORES', 'LIMIT', 0, room), true)
  end
  if #gone < limit or not letter then
    call('ZREM', KEPT, due[i])
  end
end
for letter, set in pairs(ended_sets) do
  local more = math.min(call('ZCARD', set) - most, limit - #gone)
  if more > 0 then
    drop(letter, call('ZRANGE', set, 0, more - 1, 'WITHSCORES'), false)
  end
end
forget(gone)
write_counts()
return #gone
