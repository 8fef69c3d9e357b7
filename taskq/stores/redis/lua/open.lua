-- keys: leases lease info
-- ARGV: now, lease, time to live in ms, what the worker says of itself
local lease = ARGV[2]
call('ZADD', LEASES, whole(now + ARGV[3]), lease)
call('HSET', LEASE, lease .. 't', ARGV[3], lease .. 's', stamp)
call('HSET', INFO, lease, ARGV[4])
return 1
