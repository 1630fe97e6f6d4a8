--[[ commit: validate a read set, then apply a write set, in one atomic call
  KEYS[1] the meta hash
  ARGV[1] transaction id   ARGV[2] incarnation and ARGV[3] version of the snapshot   ARGV[4] format of the caller
  ARGV[5] ticket of the place in the commit queue, '' for none
  ARGV[6] numbers, after '1' of a byte each, after '4' of 4 bytes, highest first: how many tables of ranges, tables, ranges,
    indexes, drops, sequences and settings there are; and then what is said below of each of these
  ARGV[7..] what belongs to each of these in turn:
    a table of ranges: 't5', 'f5'
    a table {how many puts, deletes, other points}: '5', 5 in msgpack; the row keys; their stamps ('' for absent, '*' for
      unread); the records of the puts
    a range {which table of ranges, table, index, version less the snapshot's, 1 with rows, how many}: start, stop, start..
    an index {which table, how many entries are removed, added}: '5.2', 2 in msgpack; the entries
    a drop {table, 1 + index or 0}: nothing
    sequences to be raised: their names; their values   settings: name, value, name, value..; all in decimal
  Phase 1 reads, validates, builds every argument, asks the permission for every command, and the type of every key that it
  has not read; phase 2 only writes, and nothing in it can raise but its first write, the one to `q`. The lines `-- Step` are
  where a test raises.
  Returns {'done', version, work}, or, with nothing written, {'dropped'} | {'aborted'} | {'lost'} | {'catalog', version} |
    {'format', stored} | {'old', version, table or -1} | {'conflict', table, index or -1, row key or start, version now} |
    {'turn', table, row key} | {'forbidden', command}
  Cost O(reads + writes + changes inside what was read), blocks the server. A command costs 3,000 to 12,000 instructions;
  to make a function, to let a table grow, or to make a number a text costs 1,000 to 3,000, and a variable of ours that a function
  uses 1,000 more. A small commit is the sum of these: so functions are made where they are wanted, and are given what they
  use, tables are made with what they hold, and no number is passed as one
  (make server-instructions) ]]

-- Step: decode
local id, snapshot, shape = ARGV[1], ARGV[3] + 0, nil
if string.byte(ARGV[6]) == 49 then -- '1'
  shape = { string.byte(ARGV[6], 2, -1) }
else
  shape = {}
  for first = 2, #ARGV[6], 4 * SLICE do
    local slice = string.sub(ARGV[6], first, first + 4 * SLICE - 1)
    for n, each in ipairs({ struct.unpack('>' .. string.rep('I4', #slice / 4), slice) }) do
      shape[(first - 2) / 4 + n] = each -- at the end there is the next position, too
    end
  end
end
local range_tables, tables, ranges, indexes, drops, sequences, settings = unpack(shape, 1, 7)

-- Asks a command that is given our arguments from one place to another; returns all of its answers.
local function gather_arguments(command, key, first, last)
  local found = redis.call(command, key, unpack(ARGV, first, last - first < SLICE and last or first + SLICE - 1))
  for from = first + SLICE, last, SLICE do
    for n, each in ipairs(redis.call(command, key, unpack(ARGV, from, math.min(last, from + SLICE - 1)))) do
      found[from - first + n] = each
    end
  end
  return found
end

-- Step: is this the database, and the first time?
local last_field = 6 + 2 * range_tables
local meta = redis.call('HMGET', META, 'incarnation', 'version', 't0', 'floor', 'format', 'history_bytes', 'line',
  unpack(ARGV, 7, last_field <= SLICE and last_field or SLICE)) -- the field in ARGV[n] is in meta[n + 1]
for first = SLICE + 1, last_field, SLICE do
  for n, each in ipairs(redis.call('HMGET', META, unpack(ARGV, first, math.min(last_field, first + SLICE - 1)))) do
    meta[first + n] = each
  end
end
if not meta[1] then
  return { 'dropped' }
end
local outcome = redis.call('HGET', PREFIX .. 'x', id)
if outcome then
  return outcome == 'aborted' and { 'aborted' } or { 'done', number(outcome), 0 }
end
local version = meta[2] + 0
if meta[1] ~= ARGV[2] or snapshot > version then
  return { 'lost' }
end
if meta[5] + 0 > ARGV[4] + 0 then
  return { 'format', number(meta[5]) }
end
if (meta[3] or 0) + 0 > snapshot then
  return { 'catalog', number(meta[3]) }
end
if (meta[4] or 0) + 0 > snapshot then
  return { 'old', number(meta[4]), -1 }
end

-- Step: points
local word, at = 8, 7 + 2 * range_tables -- where we are in `shape` and in ARGV
local stored, places = { nil, nil, nil, nil }, { nil, nil, nil, nil } -- what is there of table n, and where it is in ARGV
local writes = indexes + drops + sequences + settings
for n = 1, tables do
  local changed = shape[word] + shape[word + 1]
  local count = changed + shape[word + 2]
  local before = at + 1 -- the arguments of each list come after it
  places[n] = at
  if count > 0 then
    local rows = gather_arguments('HMGET', PREFIX .. 'r' .. ARGV[at], before + 1, before + count)
    for m = 1, count do
      local read, row = ARGV[before + count + m], rows[m]
      if read ~= '*' and (row and string.sub(row, 1, 8) or '') ~= read then
        return { 'conflict', number(ARGV[at]), -1, ARGV[before + m], version }
      end
    end
    stored[n], writes = rows, writes + changed
  end
  at, word = before + 2 * count + shape[word] + 1, word + 3
end

-- Step: ranges
for _ = 1, ranges do
  local place, table_id, index, later, rows, count = unpack(shape, word, word + 5)
  local since = snapshot + later
  if (meta[6 + 2 * place] or 0) + 0 > since then
    local floor = number(meta[7 + 2 * place])
    if floor > since then
      return { 'old', floor, table_id }
    end
    -- Include: changes
    local function has_changed(start, stop)
      local name, low, high, moved = table_id .. '.' .. index, '[' .. start, '(' .. stop, false
      local function mark()
        moved = true
        return true
      end
      each_change(PREFIX .. 'l' .. name, low, high, since, mark)
      if moved or rows == 0 then
        return moved
      end
      if index == 0 then
        each_change(PREFIX .. 'u' .. table_id, low, high, since, mark)
        return moved
      end
      repeat
        local entries = redis.call('ZRANGE', PREFIX .. 'e' .. name, low, high, 'BYLEX', 'LIMIT', 0, CHUNK)
        if #entries > 0 then
          work = work + #entries
          local keys = {}
          for n, entry in ipairs(entries) do
            keys[n] = row_key_of(entry)
          end
          for _, row in ipairs(redis.call('HMGET', PREFIX .. 'r' .. table_id, unpack(keys))) do
            if row and version_of(row) > since then
              return true
            end
          end
          low = '(' .. entries[#entries]
        end
      until #entries < CHUNK
      return false
    end
    for n = at, at + 2 * count - 2, 2 do
      if has_changed(ARGV[n], ARGV[n + 1]) then
        return { 'conflict', table_id, index, ARGV[n], version }
      end
    end
  end
  word, at = word + 6, at + 2 * count
end

if writes == 0 then
  return { 'done', version, work }
end

-- Step: build the arguments. The calls run in this order; tables have room for those of a small commit.
version = version + 1
local stamp, version_text = struct.pack('>I8', version), string.format('%d', version)
-- How many places are in use; then command, key, arguments and probe of each call. Probe: the command that asks for the type of
-- a key which nothing has read.
local calls = { 5, 'RPUSH', PREFIX .. 'q', nil, false, -- That the first write is this one spares its key the question.
  nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
  nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
local function add_call(to, command, key, arguments, probe)
  local size = to[1]
  to[size + 1], to[size + 2], to[size + 3], to[size + 4] = command, key, arguments, probe or false
  to[1] = size + 4
end
local meta_gone = nil
local meta_pairs = { 'version', version_text, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
local function set_meta(to, field, value)
  local size = #to
  to[size + 1], to[size + 2] = field, value
end

-- Step: the commit queue: what those before us claim, and the line without us
local must_wait
if meta[7] then
  -- Include: places
  local claimed, line_has_us, line = {}, false, {}
  for _, place in ipairs(line_of(meta[7], now_ms())) do
    if place[1] == ARGV[5] then
      line_has_us = true
    else
      line[#line + 1] = place
      for _, claim in ipairs(line_has_us and {} or place[3]) do
        claimed[claim] = true
      end
    end
  end
  if #line == 0 then
    meta_gone = { 'line' }
  elseif line_has_us then
    set_meta(meta_pairs, 'line', cmsgpack.pack(line))
  end
  must_wait = next(claimed) and function(table_id, row_key)
    return claimed[table_id .. ':'] or claimed[table_id .. ':' .. row_key]
  end
end

-- What trimming will have to remove: of each group its head {table, index, in msgpack, and its log members; of updated rows
-- what is superseded, too, as pairs of member and row, otherwise false.
local groups = { nil, nil, nil, nil, nil, nil, nil, nil, nil }
local function add_group(to, group_head, log, history)
  local size = #to
  to[size + 1], to[size + 2], to[size + 3] = group_head, log, history or false
end

-- Step: rows and the order index
local next_word = word
word = 8
for n = 1, tables do
  local puts, deletes = shape[word], shape[word + 1]
  local before, rows = places[n] + 1, stored[n]
  local name, head = ARGV[before - 1], '\147' .. ARGV[before]
  local records = before + 2 * (puts + deletes + shape[word + 2])
  local set, gone, added, removed, log, log_pairs, superseded, superseded_pairs, history
  local last_length, length_bytes -- most row keys of a table have one of a few lengths
  for m = 1, puts + deletes do
    local row_key, old = ARGV[before + m], rows[m]
    if must_wait and must_wait(name, row_key) then
      return { 'turn', number(name), row_key }
    end
    if #row_key ~= last_length then
      last_length = #row_key
      length_bytes = struct.pack('>I4', last_length)
    end
    local entry, logged = row_key .. length_bytes, nil
    if m <= puts then
      local value = stamp .. ARGV[records + m]
      if set then
        set[2 * m - 1], set[2 * m] = row_key, value
      else
        set = { row_key, value }
      end
      if not old then
        logged = entry .. stamp .. '+'
        if added then
          local size = #added
          added[size + 1], added[size + 2] = '0', entry
        else
          added = { '0', entry }
        end
      end
    elseif old then
      logged = entry .. stamp .. '-'
      if gone then
        gone[#gone + 1], removed[#removed + 1] = row_key, entry
      else
        gone, removed = { row_key }, { entry }
      end
    end
    if logged then
      if log then
        local size = #log
        log[size + 1], log_pairs[2 * size + 1], log_pairs[2 * size + 2] = logged, '0', logged
      else
        log, log_pairs = { logged }, { '0', logged }
      end
    end
    if old then
      local member = entry .. stamp .. 'u'
      if history then
        local size = #superseded
        superseded[size + 1], superseded_pairs[2 * size + 1], superseded_pairs[2 * size + 2] = member, '0', member
        history[2 * size + 1], history[2 * size + 2] = member, old
      else
        superseded, superseded_pairs, history = { member }, { '0', member }, { member, old }
      end
    end
  end
  if set then
    add_call(calls, 'HSET', PREFIX .. 'r' .. name, set)
  end
  if gone then
    add_call(calls, 'HDEL', PREFIX .. 'r' .. name, gone)
  end
  if set or gone then
    stored[n] = true -- the table is said to have changed
    set_meta(meta_pairs, 't' .. name, version_text)
  end
  if added then
    add_call(calls, 'ZADD', PREFIX .. 'e' .. name .. '.0', added, 'ZCARD')
  end
  if removed then
    add_call(calls, 'ZREM', PREFIX .. 'e' .. name .. '.0', removed, 'ZCARD')
  end
  if log then
    add_group(groups, head .. '\000', log)
    add_call(calls, 'ZADD', PREFIX .. 'l' .. name .. '.0', log_pairs, 'ZCARD')
  end
  if history then
    add_group(groups, head .. '\255', superseded, history)
    add_call(calls, 'ZADD', PREFIX .. 'u' .. name, superseded_pairs, 'ZCARD')
    add_call(calls, 'HSET', PREFIX .. 'h' .. name, history, 'HLEN')
  end
  word = word + 3
end

-- Step: entries of the other indexes
word = next_word
for _ = 1, indexes do
  local of, removals, additions = unpack(shape, word, word + 2)
  local name, before, log, log_pairs, removed, added = ARGV[at], at + 1, nil, nil, nil, nil
  if stored[of] ~= true then
    stored[of] = true
    set_meta(meta_pairs, 't' .. ARGV[places[of]], version_text)
  end
  set_meta(meta_pairs, 'i' .. name, '1')
  for n = 1, removals + additions do
    local entry, logged = ARGV[before + n], nil
    if n <= removals then
      logged = entry .. stamp .. '-'
      if removed then
        removed[n] = entry
      else
        removed = { entry }
      end
    else
      logged = entry .. stamp .. '+'
      if added then
        local size = #added
        added[size + 1], added[size + 2] = '0', entry
      else
        added = { '0', entry }
      end
    end
    if log then
      log[n], log_pairs[2 * n - 1], log_pairs[2 * n] = logged, '0', logged
    else
      log, log_pairs = { logged }, { '0', logged }
    end
  end
  if removed then
    add_call(calls, 'ZREM', PREFIX .. 'e' .. name, removed, 'ZCARD')
  end
  if added then
    add_call(calls, 'ZADD', PREFIX .. 'e' .. name, added, 'ZCARD')
  end
  add_group(groups, '\147' .. ARGV[places[of] + 1] .. ARGV[before], log)
  add_call(calls, 'ZADD', PREFIX .. 'l' .. name, log_pairs, 'ZCARD')
  word, at = word + 3, before + removals + additions + 1
end

-- Step: drops
local dropped_tables
if drops > 0 then
  -- Include: fields
  local all = redis.call('HKEYS', META)
  dropped_tables = {}
  for _ = 1, drops do
    local table_id, index = shape[word], shape[word + 1] - 1
    word = word + 2
    set_meta(meta_pairs, 't' .. table_id, version_text)
    set_meta(meta_pairs, 'f' .. table_id, version_text)
    if index == -1 then
      dropped_tables[#dropped_tables + 1] = table_id
    end
    for _, field in ipairs(all) do
      local of_table, of_index = string.match(field, '^[it](%d+)%.?(%d*)$')
      if of_table == tostring(table_id) and (index == -1 or of_index == tostring(index)) then
        for _, key in ipairs(keys_of(field)) do
          add_call(calls, 'UNLINK', key, {}, 'EXISTS')
        end
        if field ~= 't' .. table_id then
          meta_gone = meta_gone or {}
          meta_gone[#meta_gone + 1] = field
        end
      end
    end
  end
end

-- Step: sequences
if sequences > 0 then
  -- Include: decimals
  local raised = {}
  for n, last in ipairs(gather_arguments('HMGET', PREFIX .. 's', at, at + sequences - 1)) do
    local value = ARGV[at + sequences + n - 1]
    -- Written even if it is not more: the file and the replicas do not know what reserve.lua took
    raised[2 * n - 1], raised[2 * n] = ARGV[at + n - 1], exceeds(last or '0', value) and last or value
  end
  at = at + 2 * sequences
  add_call(calls, 'HSET', PREFIX .. 's', raised)
end

-- Step: settings of sequences
if settings > 0 then
  local set = {}
  for n = 1, 2 * settings do
    set[n] = ARGV[at + n - 1]
  end
  at = at + 2 * settings
  add_call(calls, 'HSET', PREFIX .. 's', set, 'HLEN')
end
if at ~= #ARGV + 1 then
  error('a malformed request: it announces more or less than it has')
end

-- Step: the trim queue, in elements of a bounded size. After its head each is what cmsgpack makes of {transaction id,
-- {{table, index, members}..}, dropped tables}: it is slow with tables, so it gets only texts.
local ELEMENT_MEMBERS = 100
local function packed_length(length)
  return length < 16 and string.char(144 + length) or '\220' .. struct.pack('>I2', length)
end
local function element(version_then, time, size, count, of, groups_then, dropped)
  return struct.pack(QUEUE_HEAD, version_then, time, size, count) .. '\147' .. cmsgpack.pack(of) .. groups_then .. dropped
end
local now, queued, bytes_in_all, member_count = now_ms(), {}, 0, 0
local packed, packed_groups, members, bytes = '', 0, 0, COMMIT_BYTES
for n = 1, #groups, 3 do
  local head, log, history, first = groups[n], groups[n + 1], groups[n + 2], 1
  member_count = member_count + #log
  while first <= #log do
    if members == ELEMENT_MEMBERS then
      queued[#queued + 1] = element(version, now, bytes, members, #queued == 0 and id or '',
        packed_length(packed_groups) .. packed, '\144')
      bytes_in_all = bytes_in_all + bytes
      packed, packed_groups, members, bytes = '', 0, 0, COMMIT_BYTES
    end
    local last = #log
    if members + last - first >= ELEMENT_MEMBERS then
      last = first + ELEMENT_MEMBERS - members - 1
    end
    local texts, size = cmsgpack.pack(unpack(log, first, last)), last - first + 1
    packed = packed .. head .. (size == 1 and '\145' or packed_length(size)) .. texts
    bytes = bytes + MEMBER_BYTES * size + 2 * #texts
    for m = history and first or 1, history and last or 0 do
      bytes = bytes + #log[m] + #history[2 * m]
    end
    packed_groups, members, first = packed_groups + 1, members + size, last + 1
  end
end
queued[#queued + 1] = element(version, now, bytes, members, #queued == 0 and id or '',
  packed_length(packed_groups) .. packed, dropped_tables and cmsgpack.pack(dropped_tables) or '\144')
bytes_in_all = bytes_in_all + bytes
calls[4] = queued

-- Step: what has expired. Small commits leave it to one in eight, which may discard more than eight of them have added.
local TRIM_EACH, TRIM_ROOM = 8, 200
local history_bytes, trim = (meta[6] or 0) + bytes_in_all, nil
if version % TRIM_EACH == 0 or member_count > 20 or bytes_in_all > 65536 then
  -- Include: pinned, expiry
  local limits = redis.call('HMGET', META, 'retention_ms', 'max_bytes', 'pins')
  local expired = find_expired(number(limits[1]), number(limits[2]), history_bytes, 2 * TRIM_EACH + #queued,
    TRIM_ROOM + 2 * member_count, limits[3], now)
  if #expired > 0 then
    history_bytes = history_bytes - expired.bytes
    add_call(calls, 'LPOP', PREFIX .. 'q', { string.format('%d', #expired) })
    trim = function()
      discard(expired)
    end
  end
end
set_meta(meta_pairs, 'history_bytes', string.format('%d', history_bytes))
add_call(calls, 'HSET', PREFIX .. 'x', { id, version_text })
if meta_gone then
  add_call(calls, 'HDEL', META, meta_gone)
end
add_call(calls, 'HSET', META, meta_pairs)

-- Step: types and permissions
for n = 2, calls[1], 4 do
  if calls[n + 3] then
    redis.call(calls[n + 3], calls[n + 1])
  end
  if not redis.acl_check_cmd(calls[n], calls[n + 1]) then
    return { 'forbidden', calls[n] }
  end
end
-- Last step of phase 1.

for n = 2, calls[1], 4 do
  local arguments = calls[n + 2]
  if #arguments <= SLICE then
    redis.call(calls[n], calls[n + 1], unpack(arguments))
  else
    for first = 1, #arguments, SLICE do
      redis.call(calls[n], calls[n + 1], unpack(arguments, first, math.min(first + SLICE - 1, #arguments)))
    end
  end
end
if trim then
  trim()
end
return { 'done', version, work }
