-- keys: seq meta extra due counts unique succeeded failed cancelled expired kept
-- more keys: list, ranked, wake of each queue and lane given
-- ARGV: now, how many queues and lanes, lane letter and queue of each, ids
-- Reply: what happened to each; "?" and lane letter and queue where the keys were not given.
local given, queues = {}, tonumber(ARGV[2])
for i = 1, queues do
  given[ARGV[2 + i]] = MORE + 3 * (i - 1)
end
local ended_sets = { s = SUCCEEDED, f = FAILED, c = CANCELLED, e = EXPIRED }
local reply = {}
for i = 3 + queues, #ARGV do
  local id, answer = ARGV[i], 'requeued'
  local meta = call('HGET', META, id)
  local j = meta and parse(meta)
  local target = j and j.lane .. j.queue
  local ended = j and ended_sets[string.lower(j.state)]
  if not j then
    answer = 'missing'
  elseif match(j.state, '[xX]') then
    answer = 'running'
  elseif j.state == 'q' then
    answer = 'ready'
  elseif not given[target] then
    answer = '?' .. target
  elseif ended and j.lock ~= '-' and holder(j.key) then
    answer = 'refused'
  else
    local first, place = given[target], call('INCR', SEQ)
    count(string.lower(j.state), j.queue, -1)
    if ended then
      revive(ended, string.lower(j.state), id)
      call('HDEL', EXTRA, id .. 'r')
      if j.lock ~= '-' then
        lock(j.key, id, j.lock)
      end
      j.attempts, j.deaths, j.expires, j.deadline, j.ended = 0, 0, '-', '-', '-'
    else
      call('ZREM', DUE, due_entry(j.order, id))
    end
    j.state, j.place, j.due = 'q', place, stamp
    call('HSET', META, id, pack(j))
    count('q', j.queue, 1)
    if j.priority == '0' then
      call('RPUSH', KEYS[first + 1], place .. ' ' .. id)
    else
      call('ZADD', KEYS[first + 2], rank(j.priority, place), place .. ' ' .. id)
    end
    rouse(KEYS[first + 3])
  end
  reply[#reply + 1] = answer
end
write_counts()
return reply
