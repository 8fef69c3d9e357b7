-- keys: stopping leases lease info
-- more keys: held and wake of the lease
-- ARGV: now, lease
call('HDEL', STOPPING, '')
local lease, held, wake = ARGV[2], KEYS[MORE + 1], KEYS[MORE + 2]
if not call('ZSCORE', LEASES, lease) then
  return 0
end
if call('EXISTS', held) == 0 then
  call('ZREM', LEASES, lease)
  call('HDEL', LEASE, lease .. 't', lease .. 'n', lease .. 's', lease .. 'r')
  call('HDEL', INFO, lease)
else
  call('ZADD', LEASES, 0, lease)
end
-- A claim that waits learns from it that the lease ended.
rouse(wake)
call('PEXPIRE', wake, 60000)
return 1
