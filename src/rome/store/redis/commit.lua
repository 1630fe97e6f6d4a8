--[[ commit: validate a read set, then apply a write set, in one atomic call
  KEYS[1] the meta hash
  ARGV[1] transaction id   ARGV[2] incarnation and ARGV[3] version of the snapshot   ARGV[4] format of the caller
  ARGV[5] ticket of the place in the commit queue, '' for none
  ARGV[6] msgpack {table ids of the ranges, points, ranges, puts, deletes, entries, drops, sequences, settings}
  ARGV[7..] what belongs to each of these in turn:
    points: {{table, count}..}: the row keys, their stamps ('' for absent)
    ranges: {{table, index, version, rows, count}..}: start, stop, start, stop..
    puts: {{table, count}..}: the row keys, their records   deletes: {{table, count}..}: the row keys
    entries: {{table, index, how many removed, how many added}..}: the entries
    drops: {{table, index or -1}..}: nothing
    sequences: {name, value, name, value..} in decimal, to be raised: nothing   settings: the same, to be set: nothing
  Phase 1 reads, validates, builds every argument, asks the type of every key and the permission for every command;
  phase 2 only writes, and nothing in it can raise. The lines `-- Step` are where a test raises.
  Returns {'done', version, work}, or, with nothing written, {'dropped'} | {'aborted'} | {'lost'} | {'catalog', version} |
    {'format', stored} | {'old', version, table or -1} | {'conflict', table, index or -1, row key or start, version now} |
    {'turn', table, row key} | {'forbidden', command}
  Cost O(reads + writes + changes inside what was read), blocks the server ]]

-- Step: decode
local id, snapshot = ARGV[1], number(ARGV[3])
local ids, points, ranges, puts, deletes, index_writes, drops, sequences, settings = unpack(cmsgpack.unpack(ARGV[6]))
local take = arguments_from(7)

-- Step: is this the database, and the first time?
local meta = redis.call('HMGET', META, 'incarnation', 'version', 't0', 'floor', 'format', 'retention_ms', 'max_bytes',
  'history_bytes', 'line', 'pins')
if not meta[1] then
  return { 'dropped' }
end
local outcome = redis.call('HGET', PREFIX .. 'x', id)
if outcome then
  return outcome == 'aborted' and { 'aborted' } or { 'done', number(outcome), 0 }
end
local version = number(meta[2])
if meta[1] ~= ARGV[2] or snapshot > version then
  return { 'lost' }
end
if number(meta[5]) > number(ARGV[4]) then
  return { 'format', number(meta[5]) }
end
if number(meta[3]) > snapshot then
  return { 'catalog', number(meta[3]) }
end
if number(meta[4]) > snapshot then
  return { 'old', number(meta[4]), -1 }
end
local changed, floor = table_states(ids)

-- Step: points
for _, point in ipairs(points) do
  local table_id, count = unpack(point)
  local row_keys, stamps = take(count), take(count)
  local rows = gather('HMGET', PREFIX .. 'r' .. table_id, row_keys)
  for n, row_key in ipairs(row_keys) do
    if (rows[n] and string.sub(rows[n], 1, 8) or '') ~= stamps[n] then
      return { 'conflict', table_id, -1, row_key, version }
    end
  end
end

-- Step: ranges
local function is_newer_row_behind(name, low, high, since)
  repeat
    local entries = redis.call('ZRANGE', PREFIX .. 'e' .. name, low, high, 'BYLEX', 'LIMIT', 0, CHUNK)
    if #entries > 0 then
      work = work + #entries
      local keys = {}
      for n, entry in ipairs(entries) do
        keys[n] = row_key_of(entry)
      end
      for _, row in ipairs(redis.call('HMGET', PREFIX .. 'r' .. string.match(name, '%d+'), unpack(keys))) do
        if row and version_of(row) > since then
          return true
        end
      end
      low = '(' .. entries[#entries]
    end
  until #entries < CHUNK
  return false
end

local function has_changed(table_id, index, since, rows, start, stop)
  local name, low, high, moved = table_id .. '.' .. index, '[' .. start, '(' .. stop, false
  local function mark()
    moved = true
    return true
  end
  each_change(PREFIX .. 'l' .. name, low, high, since, mark)
  if rows and not moved then
    if index == 0 then
      each_change(PREFIX .. 'u' .. table_id, low, high, since, mark)
    else
      moved = is_newer_row_behind(name, low, high, since)
    end
  end
  return moved
end

for _, range in ipairs(ranges) do
  local table_id, index, since, rows, count = unpack(range)
  local bounds = take(2 * count)
  if changed[table_id] > since then
    if floor[table_id] > since then
      return { 'old', floor[table_id], table_id }
    end
    for n = 1, 2 * count, 2 do
      if has_changed(table_id, index, since, rows, bounds[n], bounds[n + 1]) then
        return { 'conflict', table_id, index, bounds[n], version }
      end
    end
  end
end

if #puts + #deletes + #index_writes + #drops + #sequences + #settings == 0 then
  return { 'done', version, work }
end

-- Step: build the arguments. Calls run in the order in which they are first named here. The loops over rows and entries
-- are most of what a large commit costs: they keep what a name or the length of a list would have to be found for.
version = version + 1
local stamp = stamp_of(version)
local calls, named = {}, {}
local function call_of(command, name)
  local call = named[command .. name]
  if not call then
    call = { command = command, key = PREFIX .. name, arguments = {}, count = 0 }
    calls[#calls + 1], named[command .. name] = call, call
  end
  return call
end
local function arguments(command, name)
  return call_of(command, name).arguments
end
-- A pair of arguments, for the calls that have many and are given nothing else.
local function add_pair(call, one, other)
  local given, count = call.arguments, call.count
  given[count + 1], given[count + 2] = one, other
  call.count = count + 2
end
local meta_arguments = { 'version', version }
local function set_meta(field, value)
  meta_arguments[#meta_arguments + 1] = field
  meta_arguments[#meta_arguments + 1] = value
end
local touched = {}
local function touch(table_id)
  if not touched[table_id] then
    touched[table_id] = true
    set_meta('t' .. table_id, version)
  end
end

-- Step: the commit queue: what those before us claim, and the line without us
local claimed, line_has_us, line = {}, false, {}
if meta[9] then
  for _, place in ipairs(line_of(meta[9], now_ms())) do
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
    table.insert(arguments('HDEL', 'm'), 'line')
  elseif line_has_us then
    set_meta('line', cmsgpack.pack(line))
  end
end
local must_wait = next(claimed) and function(table_id, row_key)
  return claimed[table_id .. ':'] or claimed[table_id .. ':' .. row_key]
end

-- Step: what trimming will have to remove
local groups, group_of = {}, {}
local function group(table_id, index, name)
  local found = group_of[name]
  if not found then
    found = { table_id = table_id, index = index, members = {}, count = 0, bytes = {} }
    groups[#groups + 1], group_of[name] = found, found
  end
  return found
end
local function add_member(logged, member, bytes)
  local count = logged.count + 1
  logged.members[count], logged.bytes[count], logged.count = member, MEMBER_BYTES + 2 * #member + bytes, count
end

-- Step: drops
local dropped = {}
local fields = #drops > 0 and redis.call('HKEYS', META) or {}
for _, each in ipairs(drops) do
  local table_id, index = unpack(each)
  touch(table_id)
  set_meta('f' .. table_id, version)
  if index == -1 then
    dropped[table_id] = true
  end
  for _, field in ipairs(fields) do
    local of_table, of_index = string.match(field, '^[it](%d+)%.?(%d*)$')
    if of_table == tostring(table_id) and (index == -1 or of_index == tostring(index)) then
      for _, key in ipairs(keys_of(field)) do
        arguments('UNLINK', string.sub(key, #PREFIX + 1))
      end
      if field ~= 't' .. table_id then
        table.insert(arguments('HDEL', 'm'), field)
      end
    end
  end
end

-- Step: rows and the order index
local plus, minus = stamp .. '+', stamp .. '-'

-- What is done to the entries of one index: a function of an entry, and whether it is added.
local function changes_of(table_id, index)
  local name = table_id .. '.' .. index
  local added, removed, log, logged
  return function(entry, is_there)
    local member
    if is_there then
      added = added or call_of('ZADD', 'e' .. name)
      add_pair(added, 0, entry)
      member = entry .. plus
    else
      removed = removed or arguments('ZREM', 'e' .. name)
      removed[#removed + 1] = entry
      member = entry .. minus
    end
    if not log then
      log, logged = call_of('ZADD', 'l' .. name), group(table_id, index, 'l' .. name)
    end
    add_pair(log, 0, member)
    add_member(logged, member, 0)
  end
end

-- What is done to the rows of one table: a function of a row key, what is stored there, and what is to be.
local function row_changes_of(table_id)
  local change_entry = changes_of(table_id, 0)
  local rows, gone, log, history, logged
  return function(row_key, old, record)
    if record then
      rows = rows or call_of('HSET', 'r' .. table_id)
      add_pair(rows, row_key, stamp .. record)
    elseif old then
      gone = gone or arguments('HDEL', 'r' .. table_id)
      gone[#gone + 1] = row_key
    else
      return
    end
    touch(table_id)
    local entry = entry_of(row_key)
    if not (old and record) then
      change_entry(entry, record)
    end
    if old then
      if not log then
        log, history = call_of('ZADD', 'u' .. table_id), call_of('HSET', 'h' .. table_id)
        logged = group(table_id, -1, 'u' .. table_id)
      end
      local member = entry .. stamp .. 'u'
      add_pair(log, 0, member)
      add_pair(history, member, old)
      add_member(logged, member, #member + #old)
    end
  end
end

local changers = {}
local function change_rows(table_id, row_keys, records)
  local old = gather('HMGET', PREFIX .. 'r' .. table_id, row_keys)
  changers[table_id] = changers[table_id] or row_changes_of(table_id)
  local change_row = changers[table_id]
  for n, row_key in ipairs(row_keys) do
    if must_wait and must_wait(table_id, row_key) then
      return { 'turn', table_id, row_key }
    end
    change_row(row_key, old[n], records and records[n])
  end
end

for _, put in ipairs(puts) do
  local table_id, count = unpack(put)
  local waiting = change_rows(table_id, take(count), take(count))
  if waiting then
    return waiting
  end
end
for _, delete in ipairs(deletes) do
  local table_id, count = unpack(delete)
  local waiting = change_rows(table_id, take(count))
  if waiting then
    return waiting
  end
end

-- Step: entries of the other indexes
for _, write in ipairs(index_writes) do
  local table_id, index, removed, added = unpack(write)
  touch(table_id)
  set_meta('i' .. table_id .. '.' .. index, 1)
  local change_entry = changes_of(table_id, index)
  for _, entry in ipairs(take(removed)) do
    change_entry(entry, false)
  end
  for _, entry in ipairs(take(added)) do
    change_entry(entry, true)
  end
end

-- Step: sequences
for n = 1, #sequences, 2 do
  local sequence, value = sequences[n], sequences[n + 1]
  if exceeds(value, redis.call('HGET', PREFIX .. 's', sequence) or '0') then
    local raised = arguments('HSET', 's')
    raised[#raised + 1] = sequence
    raised[#raised + 1] = value
  end
end

-- Step: settings of sequences
if #settings > 0 then
  local set = arguments('HSET', 's')
  for _, each in ipairs(settings) do
    set[#set + 1] = each
  end
end

-- Step: the transaction id and the trim queue, in elements of a bounded size
local ELEMENT_MEMBERS = 100
local elements, element, members_left = {}, nil, 0
local function begin_element()
  element = { id = #elements == 0 and id or '', bytes = COMMIT_BYTES, groups = {} }
  elements[#elements + 1], members_left = element, ELEMENT_MEMBERS
end
begin_element()
local member_count = 0
for _, each in ipairs(groups) do
  member_count = member_count + each.count
  local first = 1
  while first <= each.count do
    if members_left == 0 then
      begin_element()
    end
    local last = math.min(each.count, first + members_left - 1)
    element.groups[#element.groups + 1] = { each.table_id, each.index, { unpack(each.members, first, last) } }
    for n = first, last do
      element.bytes = element.bytes + each.bytes[n]
    end
    members_left, first = members_left - (last - first + 1), last + 1
  end
end
local bytes = 0
for _, each in ipairs(elements) do
  bytes = bytes + each.bytes
end
local history_bytes = number(meta[8]) + bytes
-- More than this commit adds, so that trimming catches up; not much more, so that no commit pays for many.
local room = 200 + 2 * member_count
local expired = find_expired(number(meta[6]), number(meta[7]), history_bytes, 4 + #elements, room,
  meta[10])
local dropped_ids = {}
for table_id in pairs(dropped) do
  dropped_ids[#dropped_ids + 1] = table_id
end
if #expired > 0 then
  arguments('LPOP', 'q')[1] = #expired
end
for n, each in ipairs(elements) do
  table.insert(arguments('RPUSH', 'q'),
    queue_element(version, expired.now_ms, each.bytes, each.id, each.groups, n == #elements and dropped_ids or {}))
end
local remembered = arguments('HSET', 'x')
remembered[1], remembered[2] = id, version
set_meta('history_bytes', history_bytes - expired.bytes)
calls[#calls + 1] = { command = 'HSET', key = META, arguments = meta_arguments }

-- Step: types and permissions
local TYPE_PROBE = { HSET = 'HLEN', HDEL = 'HLEN', ZADD = 'ZCARD', ZREM = 'ZCARD', RPUSH = 'LLEN', LPOP = 'LLEN',
  UNLINK = 'EXISTS' }
for _, call in ipairs(calls) do
  redis.call(TYPE_PROBE[call.command], call.key)
  if not redis.acl_check_cmd(call.command, call.key, unpack(call.arguments, 1, math.min(2, #call.arguments))) then
    return { 'forbidden', call.command }
  end
end
-- Last step of phase 1.

for _, call in ipairs(calls) do
  if call.command == 'UNLINK' then
    redis.call('UNLINK', call.key)
  else
    in_slices(call.command, call.key, call.arguments)
  end
end
discard(expired)
return { 'done', version, work }
