--[[ places: the commit queue ]]

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
