-- keys: succeeded failed cancelled expired
-- ARGV: now, the states' letters, the number of an end to go on below or "+inf", limit
-- Reply: numbers and ids of the newest ends, for each state one list.
local ended_sets = { s = SUCCEEDED, f = FAILED, c = CANCELLED, e = EXPIRED }
local reply = {}
for i = 1, #ARGV[2] do
  local set = ended_sets[sub(ARGV[2], i, i)]
  local found = call('ZREVRANGEBYSCORE', set, ARGV[3], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  reply[i] = found
end
return reply
