-- keys: stopping leases lease
-- ARGV: now, lease, the ids that run (with a NUL between)
-- Reply: "lost", or the ids asked to stop.
call('HDEL', STOPPING, '')
local lease = ARGV[2]
local lapses = call('ZSCORE', LEASES, lease)
local ttl = call('HGET', LEASE, lease .. 't')
if not lapses or tonumber(lapses) == 0 or not ttl then
  return 'lost'
end
call('ZADD', LEASES, whole(now + ttl), lease)
call('HSET', LEASE, lease .. 's', stamp, lease .. 'r', ARGV[3])
local ids = {}
if call('HLEN', STOPPING) > 0 then
  local all = call('HGETALL', STOPPING)
  for i = 1, #all, 2 do
    if all[i + 1] == lease then
      ids[#ids + 1] = all[i]
    end
  end
end
return ids
