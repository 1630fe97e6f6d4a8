--[[ unmoved: refuse to run while the slot is being moved, key by key; put between common.lua and a script on a cluster
  At the source of such a move a key that has gone is as one that never was, and naming it raises. A script may empty a
  key, which is then gone, and write to it again: it would stop half done. A key that never exists tells: naming it is
  refused at the source of a move and nowhere else.
  Returns {'moving'}, with nothing written   Cost one command ]]
if type(redis.pcall('EXISTS', PREFIX .. '-')) == 'table' then
  return { 'moving' }
end
