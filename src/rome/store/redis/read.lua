--[[ read: gets, scans and counts as of one version
  KEYS[1] the meta hash
  ARGV[1] incarnation   ARGV[2] version; both '' for now
  ARGV[3] msgpack {table ids, requests, stop scanning after so many rows in all, or so many bytes}; a request:
    {'get', table, how many keys} | {'scans', table, index, limit, reverse, how many} | {'count', table, index} |
    {'unless known', table, index, limit, reverse, version at which the caller has read it}
  ARGV[4] if short.lua may try: after how many bytes it stops, and nothing but ranges is asked; otherwise ''
  ARGV[5..] what belongs to each request in turn: the keys, or each '[' start and '(' stop; with a known version its
    incarnation first; and then, for short.lua, 'e5.2', 'r5' and how many entries are too many of each range, list by
    list
  Returns what short.lua does, or {'done', incarnation, version, catalog version, answers, entries, rows, work}, or
    {'dropped'} | {'lost'} | {'catalog', version} | {'old', floor, table}
  An answer: get: rows, false where there is none; count: a number; each scan: how many of `entries` and `rows` are its
    own, in order and all that it has; -1: they are as they were at the known version; or {1 if there may be more, 1 if
    not in order, the last entry that was looked at, entries, their rows, entries, their rows...}
  Cost O(log n + rows + changes since the version inside what is asked), blocks the server ]]
-- Include: changes
-- A reader of ARGV from a place on: take(n) returns the next n as a list. Bytes come this way and not in msgpack, whose
-- type for bytes cmsgpack does not know.
local function arguments_from(place)
  return function(count)
    if place + count - 1 > #ARGV then
      error('a malformed request: it announces more than it has')
    end
    local taken = {}
    for n = 1, count do
      taken[n] = ARGV[place + n - 1]
    end
    place = place + count
    return taken
  end
end

local length_bytes = {} -- most row keys of a table have one of a few lengths
local function entry_of(row_key)
  local length = #row_key
  local packed = length_bytes[length]
  if not packed then
    packed = struct.pack('>I4', length)
    length_bytes[length] = packed
  end
  return row_key .. packed
end

-- When each table last changed, and up to where its history is trimmed: two maps by table id.
local function table_states(ids)
  local fields, changed, floor = {}, {}, {}
  for _, id in ipairs(ids) do
    fields[#fields + 1] = 't' .. id
    fields[#fields + 1] = 'f' .. id
  end
  local found = gather('HMGET', META, fields)
  for n, id in ipairs(ids) do
    changed[id], floor[id] = number(found[2 * n - 1]), number(found[2 * n])
  end
  return changed, floor
end

local ids, requests, rows_left, bytes_left = unpack(cmsgpack.unpack(ARGV[3]))
local take = arguments_from(5)
local meta = redis.call('HMGET', META, 'incarnation', 'version', 't0')
if not meta[1] then
  return { 'dropped' }
end
local version = number(meta[2])
local current = version
if ARGV[1] ~= '' then
  version = number(ARGV[2])
  if ARGV[1] ~= meta[1] or version > current then
    return { 'lost' }
  end
  if number(meta[3]) > version then
    return { 'catalog', number(meta[3]) }
  end
end
local changed, floor = table_states(ids)
for _, id in ipairs(ids) do
  if changed[id] > version and floor[id] > version then
    return { 'old', floor[id], id }
  end
end

-- A row that is newer than the version, or absent: what it was then.
local function superseded(id, row_key)
  local entry = entry_of(row_key)
  local low, high = '[' .. entry .. stamp_of(version + 1), '(' .. entry .. '\255'
  local found = redis.call('ZRANGE', PREFIX .. 'u' .. id, low, high, 'BYLEX', 'LIMIT', 0, 1)
  work = work + #found
  if not found[1] then
    return false
  end
  local row = redis.call('HGET', PREFIX .. 'h' .. id, found[1])
  return row and version_of(row) <= version and row
end

local function get(id, keys)
  local rows = gather('HMGET', PREFIX .. 'r' .. id, keys)
  if changed[id] > version then
    for n, key in ipairs(keys) do
      if not rows[n] or version_of(rows[n]) > version then
        rows[n] = superseded(id, key)
      end
    end
  end
  return rows
end

-- What a part of an index was: `entries` are there now, the log between the bounds says which of them were, and which
-- others.
local function undo(log, low, high, entries)
  local was, before = {}, {}
  each_change(log, low, high, version, function(entry, sign)
    was[entry] = sign
  end)
  for _, entry in ipairs(entries) do
    if was[entry] ~= '+' then
      before[#before + 1] = entry
    end
    was[entry] = nil
  end
  for entry, sign in pairs(was) do
    if sign == '-' then
      before[#before + 1] = entry
    end
  end
  return before
end

local function scan(id, index, limit, reverse, moved, low, high)
  local name = id .. '.' .. index
  local key = PREFIX .. 'e' .. name
  local answer, count, covered, more = {}, 0, '', true
  while more and count <= limit and rows_left > 0 and bytes_left > 0 do
    local size = math.min(CHUNK, limit - count + 1) -- one more than asked, to know whether there is more
    local entries
    if reverse then
      entries = redis.call('ZRANGE', key, high, low, 'BYLEX', 'REV', 'LIMIT', 0, size)
    else
      entries = redis.call('ZRANGE', key, low, high, 'BYLEX', 'LIMIT', 0, size)
    end
    more = #entries == size
    count = count + #entries
    rows_left = rows_left - #entries
    local from, to = low, high
    if not moved and count > limit then
      entries[#entries] = nil
    end
    covered = entries[#entries] or covered
    if more and reverse then
      high = '(' .. covered
      from = '[' .. covered
    elseif more then
      low = '[' .. covered .. '\255'
      to = '(' .. covered .. '\255'
    end
    if moved then
      count = count - #entries
      entries = undo(PREFIX .. 'l' .. name, from, to, entries)
      count = count + #entries
    end
    if #entries > 0 then
      local keys = {}
      for n, entry in ipairs(entries) do
        keys[n] = row_key_of(entry)
      end
      local rows = get(id, keys)
      for _, row in ipairs(rows) do
        bytes_left = bytes_left - (row and #row or 0)
      end
      answer[#answer + 1] = entries
      answer[#answer + 1] = rows
    end
  end
  return { more and 1 or 0, moved and 1 or 0, covered, unpack(answer) }
end

local answers, all_entries, all_rows = {}, {}, {}

-- A list of keys is a list of short ranges, thousands of them in a batch: they share the commands that show their rows,
-- a chunk at a time.
local function short_ranges(id, index, limit)
  local key, size, waiting = PREFIX .. 'e' .. id .. '.' .. index, math.min(CHUNK, limit + 1), {}
  local function show_rows()
    local rows = gather('HMGET', PREFIX .. 'r' .. id, waiting)
    for _, row in ipairs(rows) do
      all_rows[#all_rows + 1] = row
      bytes_left = bytes_left - (row and #row or 0)
    end
    waiting = {}
  end
  local function find(low, high)
    local entries = redis.call('ZRANGE', key, low, high, 'BYLEX', 'LIMIT', 0, size)
    if #entries == size then
      return nil -- it may be a long one
    end
    rows_left = rows_left - #entries
    for _, entry in ipairs(entries) do
      all_entries[#all_entries + 1] = entry
      waiting[#waiting + 1] = row_key_of(entry)
    end
    if #waiting >= CHUNK then
      show_rows()
    end
    return #entries
  end
  return find, show_rows
end

local function add_scans(id, index, limit, reverse, how_many)
  local moved = changed[id] > version
  local bounds = take(2 * how_many)
  local find, show_rows = short_ranges(id, index, limit)
  for n = 1, 2 * how_many, 2 do
    local found
    if not moved and not reverse and rows_left > 0 and bytes_left > 0 then
      found = find(bounds[n], bounds[n + 1])
    end
    answers[#answers + 1] = found or scan(id, index, limit, reverse, moved, bounds[n], bounds[n + 1])
  end
  show_rows()
end

local function add_scan_unless_known(id, index, limit, reverse, known)
  local incarnation = take(1)[1]
  -- A replica that is behind `known` cannot tell.
  if incarnation == meta[1] and known <= current and changed[id] <= math.min(known, version) then
    take(2)
    answers[#answers + 1] = -1
  else
    add_scans(id, index, limit, reverse, 1)
  end
end

local function add_count(id, index)
  local low, high = unpack(take(2))
  local name = id .. '.' .. index
  local total = redis.call('ZLEXCOUNT', PREFIX .. 'e' .. name, low, high)
  if changed[id] > version then
    each_change(PREFIX .. 'l' .. name, low, high, version, function(entry, sign)
      local is = redis.call('ZSCORE', PREFIX .. 'e' .. name, entry)
      if is and sign == '+' then
        total = total - 1
      elseif not is and sign == '-' then
        total = total + 1
      end
    end)
  end
  answers[#answers + 1] = total
end

local function add_get(id, key_count)
  answers[#answers + 1] = get(id, take(key_count))
end

local add_answer = { get = add_get, scans = add_scans, count = add_count, ['unless known'] = add_scan_unless_known }
for _, request in ipairs(requests) do
  add_answer[request[1]](unpack(request, 2))
end
return { 'done', meta[1], version, number(meta[3]), answers, all_entries, all_rows, work }
