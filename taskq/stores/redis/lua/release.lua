-- keys:
-- more keys: the lock
-- ARGV: now, owner
return call('ZREM', KEYS[1], ARGV[2])
