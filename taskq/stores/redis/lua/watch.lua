-- keys: waiting meta
-- ARGV: now, for how many ms, ids
-- Notes that somebody waits for the jobs. Reply: 1, or 0: one of them is over already.
call('ZREMRANGEBYSCORE', WAITING, '-inf', format('%.3f', now))
local till, open = now + ARGV[2], 1
for i = 3, #ARGV do
  local meta = call('HGET', META, ARGV[i])
  if not (meta and match(meta, '^[dqtxX]')) then
    return 0
  end
  local known = call('ZSCORE', WAITING, ARGV[i])
  if not known or tonumber(known) < till then
    call('ZADD', WAITING, whole(till), ARGV[i])
  end
end
return open
