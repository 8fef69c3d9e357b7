-- keys:
-- more keys: sets
-- Reply: how many members each has.
local reply = {}
for i = 1, #KEYS do
  reply[i] = call('SCARD', KEYS[i])
end
return reply
