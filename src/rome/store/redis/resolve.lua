--[[ resolve: say what became of a transaction; one that is not known is aborted for ever
  KEYS[1] the meta hash
  ARGV[1] transaction id   ARGV[2] version of its snapshot   ARGV[3] 1: the caller waits for replicas
  The abort takes a version: it is above the transaction's snapshot, so once the abort is trimmed away, the late commit
  comes from below the floor.
  Returns {'done', version} | {'aborted'} | {'dropped'} | {'old'} trimmed: nobody knows any more   Cost O(1) ]]
local meta = redis.call('HMGET', META, 'version', 'floor', 'history_bytes')
if not meta[1] then
  return { 'dropped' }
end
local outcome = redis.call('HGET', PREFIX .. 'x', ARGV[1])
if outcome == 'aborted' then
  return { 'aborted' }
end
if outcome then
  if ARGV[3] == '1' then -- WAIT waits for what its own connection has written
    redis.call('HSET', META, 'version', meta[1])
  end
  return { 'done', number(outcome) }
end
if number(ARGV[2]) < number(meta[2]) then
  return { 'old' }
end
redis.call('LLEN', PREFIX .. 'q')
local version = number(meta[1]) + 1
local element = struct.pack(QUEUE_HEAD, version, now_ms(), COMMIT_BYTES, 0) .. cmsgpack.pack({ ARGV[1], {}, {} })
redis.call('RPUSH', PREFIX .. 'q', element)
redis.call('HSET', PREFIX .. 'x', ARGV[1], 'aborted')
redis.call('HSET', META, 'version', version, 'history_bytes', number(meta[3]) + COMMIT_BYTES)
return { 'aborted' }
