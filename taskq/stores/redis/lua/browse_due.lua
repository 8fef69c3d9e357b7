-- keys: due
-- ARGV: now, due time and entry after which to go on (0 and "" for the first), limit
-- Reply: the next entries and their due times.
local score, entry, limit = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local low, high = 0, call('ZCARD', DUE)
while low < high do
  local middle = math.floor((low + high) / 2)
  local found = call('ZRANGE', DUE, middle, middle, 'WITHSCORES')
  local at = tonumber(found[2])
  if at < score or (at == score and found[1] <= entry) then
    low = middle + 1
  else
    high = middle
  end
end
return call('ZRANGE', DUE, low, low + limit - 1, 'WITHSCORES')
