--[[ pin: keep the history from a version on, or keep it no longer
  KEYS[1] the meta hash
  ARGV[1] ticket   ARGV[2] for how many ms; 0: no longer   ARGV[3] incarnation and ARGV[4] version of the snapshot
  ARGV[5] owner   ARGV[6] how long ago its oldest transaction began, in ms
  A snapshot below the floor is not pinned. An earlier pin with this ticket is replaced.
  Returns {'done', floor, retention in ms, its bytes} | {'dropped'} | {'lost'} | {'catalog', version}   Cost O(pins) ]]
-- Include: pinned
local ticket, lease_ms, version = ARGV[1], number(ARGV[2]), number(ARGV[4])
local meta = redis.call('HMGET', META, 'incarnation', 'version', 't0', 'floor', 'pins', 'retention_ms', 'max_bytes')
if not meta[1] then
  return { 'dropped' }
end
if lease_ms > 0 then
  if meta[1] ~= ARGV[3] or version > number(meta[2]) then
    return { 'lost' }
  end
  if number(meta[3]) > version then
    return { 'catalog', number(meta[3]) }
  end
end
local now, floor, pins = now_ms(), number(meta[4]), {}
for _, pin in ipairs(pins_of(meta[5], now)) do
  if pin[1] ~= ticket then
    pins[#pins + 1] = pin
  end
end
if lease_ms > 0 and floor <= version then
  pins[#pins + 1] = { ticket, version, now - number(ARGV[6]), now + lease_ms, ARGV[5] }
end
if #pins > 0 then
  redis.call('HSET', META, 'pins', cmsgpack.pack(pins))
elseif meta[5] then
  redis.call('HDEL', META, 'pins')
end
return { 'done', floor, number(meta[6]), number(meta[7]) }
