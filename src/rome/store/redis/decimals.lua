--[[ decimals: whole numbers as texts ]]

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
