-- keys:
-- more keys: list and ranked of each queue and lane
-- ARGV: now, the place after which to go on, limit
-- Reply: of each list, and of each priority of each sorted set, its next entries by place.
local after, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local reply = {}

-- Places rise along a list, so the first one after `after` is found by halving.
local function next_of(list)
  local low, high = 0, call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local place = match(call('LINDEX', list, middle), '^(%d+) ')
    if tonumber(place or 0) <= after then
      low = middle + 1
    else
      high = middle
    end
  end
  return call('LRANGE', list, low, low + limit - 1)
end

for i = 1, #KEYS, 2 do
  reply[#reply + 1] = next_of(KEYS[i])
  local from = '-inf'
  while true do
    local first = call('ZRANGEBYSCORE', KEYS[i + 1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if #first == 0 then
      break
    end
    local base = math.floor(first[2] / SPAN) * SPAN
    reply[#reply + 1] = call('ZRANGEBYSCORE', KEYS[i + 1], format('(%.0f', base + after),
      format('(%.0f', base + SPAN), 'LIMIT', 0, limit)
    from = format('%.0f', base + SPAN)
  end
end
return reply
