-- keys: seq meta body counts
-- more keys: list and wake of the queue and lane
-- ARGV: now, id, body, the field of counts, what the jobs of its task have in common
-- Stores the plainest of jobs, due now, without priority, lock, expiry and deadline, as enqueue
-- would, in a third of the time. Reply: 1, or 0: it exists.
local place, id = call('INCR', SEQ), ARGV[2]
if call('HSETNX', META, id, 'q0 - ' .. place .. ' - 0 - 0 0 0 ' .. stamp .. ' - - - ' .. stamp
  .. ' ' .. place .. ' ' .. ARGV[5]) == 0 then
  return 0
end
call('HSET', BODY, id, ARGV[3])
call('HINCRBY', COUNTS, ARGV[4], '1')
call('RPUSH', KEYS[5], place .. ' ' .. id)
if call('LLEN', KEYS[6]) == 0 then
  call('RPUSH', KEYS[6], '1')
end
return 1
