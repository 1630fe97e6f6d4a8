--[[ short: the short way of read, for a few short ranges of tables that have not changed since the version; it comes
  before the functions that the rest needs, as making these takes longer than reading a range
  KEYS, ARGV and what it returns: those of read.lua. Whatever it does not answer, the rest of the script does ]]
local ranges = tonumber(ARGV[5])
if ranges > 0 and #ARGV == 6 + 6 * ranges then
  local names = 6 + 2 * ranges -- after it: the tables' fields of the meta hash, the indexes, the tables, the sizes
  local meta = redis.call('HMGET', KEYS[1], 'incarnation', 'version', 't0', unpack(ARGV, names + 1, names + ranges))
  local version = tonumber(meta[2] or 0)
  local is_short = meta[1] and (ARGV[1] == '' or (ARGV[1] == meta[1] and tonumber(ARGV[2]) <= version))
  if ARGV[1] ~= '' then
    version = tonumber(ARGV[2])
  end
  for n = 3, 3 + ranges do
    is_short = is_short and tonumber(meta[n] or 0) <= version
  end
  local prefix, answers, all_entries, all_rows = string.sub(KEYS[1], 1, -2), {}, {}, {}
  local bytes_left = tonumber(ARGV[4])
  for n = 1, is_short and ranges or 0 do
    local low, high = '[' .. ARGV[5 + 2 * n], '(' .. ARGV[6 + 2 * n]
    local index, rows, size = ARGV[names + ranges + n], ARGV[names + 2 * ranges + n], ARGV[names + 3 * ranges + n]
    local entries = redis.call('ZRANGE', prefix .. index, low, high, 'BYLEX', 'LIMIT', 0, size)
    local found = #entries
    if found >= tonumber(size) or bytes_left < 0 then
      is_short = false -- it may be a long one, or there is too much already
      break
    end
    answers[n] = found
    if found > 0 then
      local keys, so_far = {}, #all_entries
      for m, entry in ipairs(entries) do
        all_entries[so_far + m] = entry
        keys[m] = string.sub(entry, -4 - struct.unpack('>I4', entry, #entry - 3), -5)
      end
      for m, row in ipairs(redis.call('HMGET', prefix .. rows, unpack(keys))) do
        all_rows[so_far + m] = row
        bytes_left = bytes_left - (row and #row or 0)
      end
    end
  end
  if is_short then
    return { 'done', meta[1], version, tonumber(meta[3] or 0), answers, all_entries, all_rows, 0 }
  end
end
