-- keys:
-- more keys: sets
-- Reply: their members.
local reply = {}
for i = 1, #KEYS do
  reply[i] = call('SMEMBERS', KEYS[i])
end
return reply
