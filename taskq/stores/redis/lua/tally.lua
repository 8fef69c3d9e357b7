-- keys:
-- more keys: the counter, a hash of n and until
-- ARGV: now, time to live in ms, amount
-- Reply: the new value.
local key = KEYS[1]
local till = tonumber(call('HGET', key, 'until') or 0)
if till <= now then
  till = now + ARGV[2]
  call('DEL', key)
  call('HSET', key, 'until', whole(till))
end
local n = call('HINCRBY', key, 'n', ARGV[3])
if ARGV[1] == '' then
  call('PEXPIREAT', key, whole(till))
end
return n
