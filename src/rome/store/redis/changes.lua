--[[ changes: versions, and what the log of an index tells ]]
local function stamp_of(version)
  return struct.pack('>I8', version)
end

local function version_of(row)
  return (struct.unpack('>I8', row))
end

local function row_key_of(entry)
  return string.sub(entry, -4 - struct.unpack('>I4', entry, #entry - 3), -5)
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
