-- keys: paused
-- more keys: wake of each lane
-- ARGV: now, queue, 1 to pause
call('SREM', PAUSED, '')
if ARGV[3] == '1' then
  call('SADD', PAUSED, ARGV[2])
else
  call('SREM', PAUSED, ARGV[2])
  rouse(KEYS[MORE + 1])
  rouse(KEYS[MORE + 2])
end
return 1
