--[[ usage: what the database takes, who waits, and what was committed last; writes nothing
  KEYS[1] the meta hash   ARGV[1] of at most so many of the newest elements of the trim queue the rows are told
  ARGV[2] none after so many log members
  Returns {'dropped'} | {'done', version, retention in ms, its bytes, bytes of history, commits and aborts in the history,
    now in ms, {ms of the oldest, ms of the newest} or {} without a history, {sequence, last number, sequence ..},
    {claims of each place in the commit queue}, {{version, owner, ms since its oldest transaction, ms left} of each pin},
    {{version, ms, table, row key, table, row key ..} of each element}}
  Cost O(sequences + members of the elements) ]]
-- Include: changes, pinned, places
local meta = redis.call('HMGET', META, 'version', 'retention_ms', 'max_bytes', 'history_bytes', 'line', 'pins')
if not meta[1] then
  return { 'dropped' }
end
local now, queue = now_ms(), PREFIX .. 'q'

local times = {}
for n, position in ipairs({ 0, -1 }) do
  local packed = redis.call('LINDEX', queue, position)
  if packed then
    local _, time_ms = struct.unpack(QUEUE_HEAD, packed)
    times[n] = time_ms
  end
end

local sequences = {}
local names = redis.call('HKEYS', PREFIX .. 's')
for n, value in ipairs(gather('HMGET', PREFIX .. 's', names)) do
  sequences[2 * n - 1], sequences[2 * n] = names[n], value
end

local claims = {}
for n, place in ipairs(line_of(meta[5], now)) do
  claims[n] = place[3]
end

local pins = {}
for n, pin in ipairs(pins_of(meta[6], now)) do
  pins[n] = { pin[2], pin[5], now - pin[3], pin[4] - now }
end

local recent, room = {}, number(ARGV[2])
for n = 1, number(ARGV[1]) do
  local packed = redis.call('LINDEX', queue, -n)
  if not packed or room <= 0 then
    break
  end
  local version, time_ms, _, members, rest = struct.unpack(QUEUE_HEAD, packed)
  room = room - members
  local _, groups = unpack(cmsgpack.unpack(string.sub(packed, rest)))
  local told, seen = { version, time_ms }, {}
  for _, group in ipairs(groups) do
    local table_id, index, entries = unpack(group)
    for _, member in ipairs(index <= 0 and entries or {}) do
      local row_key = row_key_of(string.sub(member, 1, -10))
      if not seen[table_id .. ':' .. row_key] then
        seen[table_id .. ':' .. row_key] = true
        told[#told + 1], told[#told + 2] = table_id, row_key
      end
    end
  end
  recent[n] = told
end

return { 'done', meta[1], meta[2], meta[3], meta[4] or '0', redis.call('HLEN', PREFIX .. 'x'), now, times, sequences,
  claims, pins, recent }
