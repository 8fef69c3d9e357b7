-- keys: meta body extra
-- ARGV: now, ids
-- Reply: metas, bodies, and five extras of each.
local ids, fields = {}, {}
for i = 2, #ARGV do
  local id, n = ARGV[i], #fields
  ids[i - 1] = id
  fields[n + 1], fields[n + 2], fields[n + 3] = id .. 'r', id .. 'e', id .. 'p'
  fields[n + 4], fields[n + 5] = id .. 'c', id .. 'l'
end
return { fetch(META, ids), fetch(BODY, ids), fetch(EXTRA, fields) }
