--[[ line: take a place in the commit queue, keep it, or leave
  KEYS[1] the meta hash
  ARGV[1] ticket   ARGV[2] for how many ms the place is to be kept; 0: leave   ARGV[3..] claims, as in places.lua
  Nothing is written while a place stays as it is, and has half of its time left.
  Returns {'done', how many before it claim the same} | {'dropped'}   Cost O(places * claims) ]]
-- Include: places
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

local ticket, lease_ms, claims = ARGV[1], number(ARGV[2]), { unpack(ARGV, 3) }
local meta = redis.call('HMGET', META, 'incarnation', 'line')
if not meta[1] then
  return { 'dropped' }
end
local now = now_ms()
local line, mine = line_of(meta[2], now), nil
for n, place in ipairs(line) do
  if place[1] == ticket then
    mine = n
  end
end
if lease_ms == 0 then
  if mine then
    table.remove(line, mine)
    set_line(line)
  end
  return { 'done', 0 }
end
if not mine then
  mine = #line + 1
  line[mine] = { ticket, 0, {} }
end
local place = line[mine]
if place[2] < now + lease_ms / 2 or cmsgpack.pack(place[3]) ~= cmsgpack.pack(claims) then
  place[2], place[3] = now + lease_ms, claims
  set_line(line)
end
local ahead = 0
for n = 1, mine - 1 do
  if overlap(line[n][3], claims) then
    ahead = ahead + 1
  end
end
return { 'done', ahead }
