-- keys: leases lease info
-- ARGV: now
-- Reply: of each living lease its id, when it was seen, what its worker says of itself.
local reply = {}
local all = call('ZRANGEBYSCORE', LEASES, format('(%.3f', now), '+inf')
for i = 1, #all do
  local n = #reply
  reply[n + 1], reply[n + 2] = all[i], call('HGET', LEASE, all[i] .. 's')
  reply[n + 3] = call('HGET', INFO, all[i])
end
return reply
