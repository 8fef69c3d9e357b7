-- keys: stopping meta body extra due counts unique seq waiting cancelled kept
-- ARGV: now, ids
-- Reply: what happened to each.
call('HDEL', STOPPING, '')
local reply, over, gone = {}, {}, {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local meta = call('HGET', META, id)
  local j = meta and parse(meta)
  if not j then
    reply[i - 1] = 'missing'
  elseif match(j.state, '[xX]') then
    j.state = 'X'
    call('HSET', META, id, pack(j))
    call('HSET', STOPPING, id, j.lease)
    reply[i - 1] = 'asked'
  elseif match(j.state, '[dqt]') then
    count(j.state, j.queue, -1)
    if j.state ~= 'q' then
      call('ZREM', DUE, due_entry(j.order, id))
    end
    if j.lock ~= '-' then
      unlock(j.key, id)
    end
    over[#over + 1] = id
    if j.keep == '0' then
      gone[1] = id
      forget(gone)
    else
      j.state, j.ended = 'C', stamp
      call('HSET', META, id, pack(j))
      local n = call('INCR', SEQ)
      call('ZADD', CANCELLED, n, id)
      call('ZADD', KEPT, whole(now + j.keep), ended_entry('c', n, n))
      count('c', j.queue, 1)
    end
    reply[i - 1] = 'cancelled'
  else
    reply[i - 1] = 'ended'
  end
end
tell(over)
write_counts()
return reply
