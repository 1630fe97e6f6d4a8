--[[ retain: set the retention
  KEYS[1] the meta hash   ARGV[1] milliseconds   ARGV[2] bytes
  Returns {'done'} | {'dropped'}   Cost O(1) ]]
if redis.call('EXISTS', META) == 0 then
  return { 'dropped' }
end
redis.call('HSET', META, 'retention_ms', ARGV[1], 'max_bytes', ARGV[2])
return { 'done' }
