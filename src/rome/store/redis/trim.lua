--[[ trim: discard what has outlived the retention and is not pinned, or does not fit into its bytes, oldest first
  KEYS[1] the meta hash   ARGV[1] at most so many elements of the queue   ARGV[2] none after so many log members
  May run out of memory's reach (flag allow-oom), since it frees.
  Returns {'done', how many commits and aborts, 1 if there may be more} | {'dropped'}   Cost O(members discarded) ]]
-- Include: pinned, expiry
local meta = redis.call('HMGET', META, 'version', 'retention_ms', 'max_bytes', 'history_bytes', 'pins')
if not meta[1] then
  return { 'dropped' }
end
local history_bytes = number(meta[4])
local expired = find_expired(number(meta[2]), number(meta[3]), history_bytes, number(ARGV[1]), number(ARGV[2]),
  meta[5], now_ms())
if #expired == 0 then
  return { 'done', 0, 0 }
end
redis.call('LPOP', PREFIX .. 'q', #expired)
redis.call('HSET', META, 'history_bytes', history_bytes - expired.bytes)
return { 'done', discard(expired), 1 }
