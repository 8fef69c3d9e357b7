-- keys:
-- more keys: the lock, a sorted set of owners by the end of their time
-- ARGV: now, owner, time to live in ms, slots
-- Reply: 1, or 0: all places are taken.
local key, owner = KEYS[1], ARGV[2]
call('ZREMRANGEBYSCORE', key, '-inf', format('%.3f', now))
if not call('ZSCORE', key, owner) and call('ZCARD', key) >= tonumber(ARGV[4]) then
  return 0
end
call('ZADD', key, whole(now + ARGV[3]), owner)
-- By the server's own time only: another clock may run otherwise.
if ARGV[1] == '' then
  call('PEXPIREAT', key, call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
end
return 1
