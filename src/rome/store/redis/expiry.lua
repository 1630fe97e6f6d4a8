--[[ expiry: what has outlived the retention ]]

local function in_slices(call, command, key, arguments)
  for first = 1, #arguments, SLICE do
    call(command, key, unpack(arguments, first, math.min(first + SLICE - 1, #arguments)))
  end
end

-- The oldest elements of the trim queue that have outlived the retention and are not pinned, or do not fit into its
-- bytes: at most `limit` of them, and none after `room` log members. `pins` is the field of the meta hash. Reads only.
local function find_expired(retention_ms, max_bytes, history_bytes, limit, room, pins, time_ms)
  local expired = { bytes = 0 }
  local pinned = math.huge
  for _, pin in ipairs(pins_of(pins, time_ms)) do
    pinned = math.min(pinned, pin[2])
  end
  while #expired < limit and room > 0 do
    local packed = redis.call('LINDEX', PREFIX .. 'q', string.format('%d', #expired))
    if not packed then
      break
    end
    local version, since_ms, bytes, members, rest = struct.unpack(QUEUE_HEAD, packed)
    if history_bytes - expired.bytes <= max_bytes and (since_ms + retention_ms > time_ms or version > pinned) then
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
-- here raises, and what should fail to be removed is below a floor already. Each key is given all of its members at
-- once. Returns how many commits and aborts it was.
local function discard(expired)
  if #expired == 0 then
    return 0
  end
  local ids, tables, raised, removals = {}, {}, {}, {}
  local function members_of(command, key)
    local name = command .. key
    local list = removals[name]
    if not list then
      list = {}
      removals[name], removals[#removals + 1] = list, { command, key, list }
    end
    return list
  end
  for _, element in ipairs(expired) do
    for _, group in ipairs(element.groups) do
      local id, index, members = group[1], group[2], group[3]
      if not raised[id] then
        tables[#tables + 1] = id
      end
      raised[id] = element.version
      local log = members_of('ZREM', index >= 0 and 'l' .. id .. '.' .. index or 'u' .. id)
      local history = index < 0 and members_of('HDEL', 'h' .. id)
      for _, member in ipairs(members) do
        log[#log + 1] = member
        if history then
          history[#history + 1] = member
        end
      end
    end
    if element.id ~= '' then
      ids[#ids + 1] = element.id
    end
  end
  local names, fields = {}, { 'floor', string.format('%d', expired[#expired].version) }
  for n, id in ipairs(tables) do
    names[n] = 'f' .. id
  end
  for n, floor in ipairs(gather('HMGET', META, names)) do
    if raised[tables[n]] > number(floor) then
      fields[#fields + 1], fields[#fields + 2] = names[n], string.format('%d', raised[tables[n]])
    end
  end
  in_slices(redis.call, 'HSET', META, fields)
  for _, removal in ipairs(removals) do
    in_slices(redis.pcall, removal[1], PREFIX .. removal[2], removal[3])
  end
  for _, element in ipairs(expired) do
    for _, id in ipairs(element.dropped) do
      if number(redis.call('HGET', META, 't' .. id)) == element.version then
        redis.pcall('HDEL', META, 't' .. id, 'f' .. id)
      end
    end
  end
  in_slices(redis.pcall, 'HDEL', PREFIX .. 'x', ids)
  return #ids
end
