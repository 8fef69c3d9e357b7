-- keys: leases info
-- ARGV: now
-- Reply: leases and the times when they lapsed, one after the other; 0: ended.
if call('HLEN', INFO) ~= call('ZCARD', LEASES) then
  -- A lease that was lost from the set would leave its jobs running for ever.
  local all = call('HKEYS', INFO)
  for i = 1, #all do
    if not call('ZSCORE', LEASES, all[i]) then
      call('ZADD', LEASES, 0, all[i])
    end
  end
end
return call('ZRANGEBYSCORE', LEASES, '-inf', now, 'WITHSCORES')
