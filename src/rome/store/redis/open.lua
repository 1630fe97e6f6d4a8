--[[ open: create the database, or give it a new incarnation when the server is not the one that served it last
  KEYS[1] the meta hash
  ARGV[1] format   ARGV[2] a new incarnation, in case   ARGV[3] run id   ARGV[4] replication id
  ARGV[5] retention in ms   ARGV[6] its bytes; both only for a new database
  A server keeps a hash of few and short values as a list, in which each look-up passes over the fields before: a long value,
  which is taken away again, makes it a table for as long as the server runs. Each read and commit looks up 5 to 10 fields.
  Returns {format, incarnation, version, retention in ms, its bytes}   Cost O(fields) once, O(1) after that ]]
local function make_table()
  redis.call('HSET', META, 'long', string.rep(' ', 1024))
  redis.call('HDEL', META, 'long')
end
local meta = redis.call('HMGET', META, 'format', 'run_id', 'replication_id')
if not meta[1] then
  redis.call('HSET', META, 'format', ARGV[1], 'incarnation', ARGV[2], 'version', 0, 'run_id', ARGV[3],
    'replication_id', ARGV[4], 'retention_ms', ARGV[5], 'max_bytes', ARGV[6])
  make_table()
elseif number(meta[1]) <= number(ARGV[1]) and (meta[2] ~= ARGV[3] or meta[3] ~= ARGV[4]) then
  redis.call('HSET', META, 'incarnation', ARGV[2], 'run_id', ARGV[3], 'replication_id', ARGV[4])
  redis.call('HDEL', META, 'pins') -- no snapshot of theirs is valid any more
  make_table()
end
return redis.call('HMGET', META, 'format', 'incarnation', 'version', 'retention_ms', 'max_bytes')
