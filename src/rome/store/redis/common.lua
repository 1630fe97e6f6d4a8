--[[ common: what the scripts share; put before each of them, and run by none alone.
  KEYS[1] the meta hash of the database, whose name is PREFIX .. 'm': all other keys are named after it
  Key names, the shapes of members and records, and why nothing here uses `<` on strings: docs/commit-protocol.md ]]
local META = KEYS[1]
local PREFIX = string.sub(META, 1, -2)
local SLICE = 1000 -- arguments per command: unpack() raises beyond 7,999
local CHUNK = 128 -- members read at a time, so that a search stops soon after it has what it wants
local COMMIT_BYTES, MEMBER_BYTES = 250, 300 -- what a commit and a log member take beside their own bytes, about
local work = 0 -- log members looked at: what the tests bound, since a timing would not be a test

local function number(text)
  return tonumber(text or 0)
end

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

local function stamp_of(version)
  return struct.pack('>I8', version)
end

local function version_of(row)
  return (struct.unpack('>I8', row))
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

local function row_key_of(entry)
  return string.sub(entry, -4 - struct.unpack('>I4', entry, #entry - 3), -5)
end

-- Asks a command whose arguments may be too many for one call; returns all of its answers.
local function gather(command, key, arguments)
  if #arguments == 0 then
    return {}
  end
  if #arguments <= SLICE then
    return redis.call(command, key, unpack(arguments))
  end
  local answers = {}
  for first = 1, #arguments, SLICE do
    local slice = redis.call(command, key, unpack(arguments, first, math.min(first + SLICE - 1, #arguments)))
    for _, answer in ipairs(slice) do
      answers[#answers + 1] = answer
    end
  end
  return answers
end

-- The same for a command that writes.
local function in_slices(command, key, arguments)
  for first = 1, #arguments, SLICE do
    redis.call(command, key, unpack(arguments, first, math.min(first + SLICE - 1, #arguments)))
  end
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

-- Whether one natural number is greater than another, both in decimal: they may have 64 bits.
local function exceeds(one, other)
  if #one ~= #other then
    return #one > #other
  end
  for n = 1, #one do
    local a, b = string.byte(one, n), string.byte(other, n)
    if a ~= b then
      return a > b
    end
  end
  return false
end

-- The keys that a field of the meta hash stands for: those of a table ('t5') or of an index ('i5.2').
local function keys_of(field)
  local index = string.match(field, '^i(%d+%.%d+)$')
  if index then
    return { PREFIX .. 'e' .. index, PREFIX .. 'l' .. index }
  end
  local id = string.match(field, '^t(%d+)$')
  if id then
    local order = id .. '.0'
    return { PREFIX .. 'r' .. id, PREFIX .. 'h' .. id, PREFIX .. 'u' .. id, PREFIX .. 'e' .. order, PREFIX .. 'l' .. order }
  end
  return {}
end

-- Visits the log members between two BYLEX bounds that are newer than `version`, as visit(entry, sign), in order; for
-- one entry it visits the earliest only. Stops when visit() returns true. A full chunk is left by a jump over what is
-- too old, or already visited, of the last entry: a hot entry costs one chunk however long its log is.
local function each_change(log, low, high, version, visit)
  local seen
  repeat
    local found = redis.call('ZRANGE', log, low, high, 'BYLEX', 'LIMIT', 0, CHUNK)
    work = work + #found
    local entry
    for _, member in ipairs(found) do
      entry = string.sub(member, 1, -10)
      if entry ~= seen and struct.unpack('>I8', member, #member - 8) > version then
        if visit(entry, string.sub(member, -1)) then
          return
        end
        seen = entry
      end
    end
    if entry then
      low = '[' .. entry .. (entry == seen and '\255' or stamp_of(version + 1))
    end
  until #found < CHUNK
end

-- An element of the trim queue: what to remove when the version's history has expired. Its head is apart, since every
-- commit looks at the oldest one.
local QUEUE_HEAD = '>I8I8I8I4'

local function queue_element(version, time_ms, bytes, id, groups, dropped)
  local members = 0
  for _, group in ipairs(groups) do
    members = members + #group[3]
  end
  return struct.pack(QUEUE_HEAD, version, time_ms, bytes, members) .. cmsgpack.pack({ id, groups, dropped })
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The pins {ticket, version, since in ms, deadline in ms, owner}, without those whose time is over.
local function pins_of(packed, time_ms)
  local pins = {}
  for _, pin in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if pin[4] > time_ms then
      pins[#pins + 1] = pin
    end
  end
  return pins
end

-- The oldest elements of the trim queue that have outlived the retention and are not pinned, or do not fit into its
-- bytes: at most `limit` of them, and none after `room` log members. `pins` is the field of the meta hash. Reads only.
local function find_expired(retention_ms, max_bytes, history_bytes, limit, room, pins)
  local expired = { now_ms = now_ms(), bytes = 0 }
  local pinned = math.huge
  for _, pin in ipairs(pins_of(pins, expired.now_ms)) do
    pinned = math.min(pinned, pin[2])
  end
  while #expired < limit and room > 0 do
    local packed = redis.call('LINDEX', PREFIX .. 'q', #expired)
    if not packed then
      break
    end
    local version, time_ms, bytes, members, rest = struct.unpack(QUEUE_HEAD, packed)
    if history_bytes - expired.bytes <= max_bytes and (time_ms + retention_ms > expired.now_ms or version > pinned) then
      break
    end
    local id, groups, dropped = unpack(cmsgpack.unpack(string.sub(packed, rest)))
    expired[#expired + 1] = { version = version, id = id, groups = groups, dropped = dropped }
    expired.bytes = expired.bytes + bytes
    room = room - members
  end
  return expired
end

-- Removes what the caller has taken off the queue. Raises the floors first and removes afterwards, by pcall: so nothing
-- here raises, and what should fail to be removed is below a floor already. Returns how many commits and aborts it was.
local function discard(expired)
  if #expired == 0 then
    return 0
  end
  local ids, tables, raised, count = {}, {}, {}, 0
  for _, element in ipairs(expired) do
    for _, group in ipairs(element.groups) do
      if not raised[group[1]] then
        tables[#tables + 1] = group[1]
      end
      raised[group[1]] = element.version
    end
    if element.id ~= '' then
      ids[#ids + 1] = element.id
      count = count + 1
    end
  end
  local _, floor = table_states(tables)
  local fields = { 'floor', expired[#expired].version }
  for _, id in ipairs(tables) do
    if raised[id] > floor[id] then
      fields[#fields + 1] = 'f' .. id
      fields[#fields + 1] = raised[id]
    end
  end
  in_slices('HSET', META, fields)
  for _, element in ipairs(expired) do
    for _, group in ipairs(element.groups) do
      local id, index, members = unpack(group)
      if index >= 0 then
        redis.pcall('ZREM', PREFIX .. 'l' .. id .. '.' .. index, unpack(members))
      else
        redis.pcall('ZREM', PREFIX .. 'u' .. id, unpack(members))
        redis.pcall('HDEL', PREFIX .. 'h' .. id, unpack(members))
      end
    end
    for _, id in ipairs(element.dropped) do
      if number(redis.call('HGET', META, 't' .. id)) == element.version then
        redis.pcall('HDEL', META, 't' .. id, 'f' .. id)
      end
    end
  end
  if #ids > 0 then
    redis.pcall('HDEL', PREFIX .. 'x', unpack(ids))
  end
  return count
end

-- The commit queue: places {ticket, deadline in ms, claims}, first come first, without those whose time is
-- over. A claim is the table's id, ':' and the row key; without a row key, all rows of the table.
local function line_of(packed, time_ms)
  local line = {}
  for _, place in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if place[2] > time_ms then
      line[#line + 1] = place
    end
  end
  return line
end

local function set_line(line)
  if #line == 0 then
    redis.call('HDEL', META, 'line')
  else
    redis.call('HSET', META, 'line', cmsgpack.pack(line))
  end
end

local function overlap(ones, others)
  for _, one in ipairs(ones) do
    local of_table = string.match(one, '^%d+:')
    for _, other in ipairs(others) do
      if one == other or other == of_table or (one == of_table and string.match(other, '^%d+:') == of_table) then
        return true
      end
    end
  end
  return false
end
