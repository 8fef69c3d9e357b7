-- keys: counts paused meta
-- more keys: list and ranked of lane t and of lane l, of each queue
-- ARGV: now, queues
-- Reply: for each queue whether it is paused, the due time of its oldest ready job or "", and
-- its counts in the order of LETTERS.
local LETTERS = { 'd', 'q', 'x', 't', 's', 'f', 'c', 'e' }

-- The due time of the first of some entries that is current.
local function due_of(entries)
  local ids, places = {}, {}
  for i = 1, #entries do
    local place, id = match(entries[i], '^(%d+) (.+)$')
    ids[i], places[i] = id or '', place
  end
  local found = fetch(META, ids)
  for i = 1, #ids do
    local j = found[i] and parse(found[i])
    if j and j.state == 'q' and j.place == places[i] then
      return tonumber(j.due)
    end
  end
  return nil
end

local reply = {}
for i = 2, #ARGV do
  local oldest
  for k = 1, 4 do
    local key = KEYS[MORE + 4 * (i - 2) + k]
    local at, size = 0, 10
    while at < 1000 do
      local entries = call(k % 2 == 1 and 'LRANGE' or 'ZRANGE', key, at, at + size - 1)
      local due = due_of(entries)
      if due and (not oldest or due < oldest) then
        oldest = due
      end
      if due or #entries < size then
        break
      end
      at, size = at + size, size * 2
    end
  end
  local fields = {}
  for k = 1, #LETTERS do
    fields[k] = LETTERS[k] .. ARGV[i]
  end
  reply[#reply + 1] = call('SISMEMBER', PAUSED, ARGV[i])
  reply[#reply + 1] = oldest and format('%.0f', math.max(now - oldest, 0)) or ''
  reply[#reply + 1] = fetch(COUNTS, fields)
end
return reply
