-- keys: stopping due meta body extra counts seq failed kept waiting
-- more keys: list, ranked, wake of each queue and lane given
-- ARGV: now, limit, then lane letter and queue of each
-- Reply: now, how many were moved, the first due time or "", and lane letter and queue of those
-- jobs that were left where they are because the keys were not given.
call('HDEL', STOPPING, '')
local given = {}
for i = 3, #ARGV do
  given[ARGV[i]] = MORE + 3 * (i - 3)
end
local entries = call('ZRANGEBYSCORE', DUE, '-inf', format('%.3f', now), 'LIMIT', 0, ARGV[2])
local ids, orders = {}, {}
for i = 1, #entries do
  local order, id = match(entries[i], '^0*(%d+) (.+)$')
  orders[i], ids[i] = order or '', id or ''
end
local found = fetch(META, ids)
local place = #ids > 0 and call('INCRBY', SEQ, #ids) - #ids or 0
local removals, writes, lists, ranked, missing, absent = {}, {}, {}, {}, {}, {}
local moved = 0
for i = 1, #ids do
  local id, meta, entry = ids[i], found[i], entries[i]
  local j = meta and parse(meta)
  local target = j and j.lane .. j.queue
  if not j then
    removals[#removals + 1] = entry
    if orders[i] == '' then
      -- Its score is not a time that any job had.
      local name = format('%012x', math.floor(now)) .. format('%020x', place + i)
      name = sub(name, 1, 8) .. '-' .. sub(name, 9, 12) .. '-7' .. sub(name, 14, 16) .. '-8'
        .. sub(name, 18, 20) .. '-' .. sub(name, 21)
      set_aside(name, 0, entry, 'not an entry of the due jobs', 'taskq.malformed')
    elseif meta then
      set_aside(id, 0, meta, 'the record is not a job', 'taskq.malformed')
    end
  elseif (j.state ~= 'd' and j.state ~= 't') or j.order ~= orders[i] then
    removals[#removals + 1] = entry
  elseif not given[target] then
    if not absent[target] then
      absent[target] = true
      missing[#missing + 1] = target
    end
  else
    local first = given[target]
    place = place + 1
    count(j.state, j.queue, -1)
    count('q', j.queue, 1)
    j.state, j.place = 'q', place
    removals[#removals + 1] = entry
    writes[#writes + 1], writes[#writes + 2] = id, pack(j)
    if j.priority == '0' then
      lists[first] = lists[first] or {}
      lists[first][#lists[first] + 1] = place .. ' ' .. id
    else
      local set = ranked[first] or {}
      ranked[first] = set
      set[#set + 1], set[#set + 2] = rank(j.priority, place), place .. ' ' .. id
    end
    moved = moved + 1
  end
end
many('ZREM', DUE, removals)
many('HSET', META, writes)
for first, values in pairs(lists) do
  many('RPUSH', KEYS[first + 1], values)
  rouse(KEYS[first + 3])
end
for first, values in pairs(ranked) do
  many('ZADD', KEYS[first + 2], values)
  rouse(KEYS[first + 3])
end
write_counts()
return { format('%.3f', now), moved, call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or '', missing }
