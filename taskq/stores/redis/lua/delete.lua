-- keys: stopping meta body extra due counts unique waiting succeeded failed cancelled expired kept
-- ARGV: now, ids
-- Reply: what happened to each.
call('HDEL', STOPPING, '')
local ended_sets = { s = SUCCEEDED, f = FAILED, c = CANCELLED, e = EXPIRED }
local reply, gone, seen = {}, {}, {}
for i = 2, #ARGV do
  local id, answer = ARGV[i], 'deleted'
  local meta = not seen[id] and call('HGET', META, id)
  local j = meta and parse(meta)
  if not meta then
    answer = 'missing'
  elseif j and match(j.state, '[xX]') then
    answer = 'running'
  else
    seen[id] = true
    gone[#gone + 1] = id
    if j then
      local letter = string.lower(j.state)
      count(letter, j.queue, -1)
      if ended_sets[letter] then
        revive(ended_sets[letter], letter, id)
      else
        call('ZREM', DUE, due_entry(j.order, id))
        if j.lock ~= '-' then
          unlock(j.key, id)
        end
      end
    end
  end
  reply[i - 1] = answer
end
forget(gone)
tell(gone)
write_counts()
return reply
