--[[ drop: delete a database, whole
  KEYS[1] the meta hash
  One call, so that whoever uses the database sees all of it or nothing, and whoever creates it anew at the same time
  loses nothing. Its keys follow from the meta hash: no other key of the server is looked at. UNLINK leaves the
  freeing to another thread.
  Returns {'done'}   Cost O(tables + indexes), not rows ]]
-- Include: fields
local keys = { META, PREFIX .. 'q', PREFIX .. 's', PREFIX .. 'x' }
for _, field in ipairs(redis.call('HKEYS', META)) do
  for _, key in ipairs(keys_of(field)) do
    keys[#keys + 1] = key
  end
end
for first = 1, #keys, SLICE do
  redis.call('UNLINK', unpack(keys, first, math.min(first + SLICE - 1, #keys)))
end
return { 'done' }
