--[[ pinned: the snapshots that trimming spares ]]

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
