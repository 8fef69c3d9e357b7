-- keys: leases meta body extra
-- ARGV: now, lease, id, claims, letters of what follows (p progress, c checkpoint, a arguments,
-- l a line of the log), and that
-- Reply: 1, or 0: the token does not hold.
local lease, id = ARGV[2], ARGV[3]
local lapses = call('ZSCORE', LEASES, lease)
local meta = call('HGET', META, id)
if not lapses or tonumber(lapses) == 0 or not meta then
  return 0
end
local claims, owner = match(meta, '^[xX](%d+) (%S+) ')
if owner ~= lease or claims ~= ARGV[4] then
  return 0
end
local before, after = match(meta, '^(%S+ %S+ %d+ %S+ %d+r?)( .*)$')
if before then
  call('HSET', META, id, before .. 'n' .. after)
end
local lines = {}
for i = 1, #ARGV[5] do
  local letter, value = sub(ARGV[5], i, i), ARGV[5 + i]
  if letter == 'l' then
    lines[#lines + 1] = value
  elseif letter == 'a' then
    local head = head_of(call('HGET', BODY, id))
    if head then
      call('HSET', BODY, id, head .. value)
    end
  else
    call('HSET', EXTRA, id .. letter, value)
  end
end
if #lines > 0 then
  call('HSET', EXTRA, id .. 'l', append(call('HGET', EXTRA, id .. 'l'), lines, 200))
end
return 1
