-- keys: stopping leases
-- more keys: wake of the lease
-- ARGV: now, lease
call('HDEL', STOPPING, '')
if call('ZSCORE', LEASES, ARGV[2]) then
  rouse(KEYS[MORE + 1])
  call('PEXPIRE', KEYS[MORE + 1], 60000)
end
return 1
