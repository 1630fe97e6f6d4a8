--[[ fields: which keys a database has, by its meta hash ]]

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
