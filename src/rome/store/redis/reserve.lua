--[[ reserve: take blocks of numbers from sequences
  KEYS[1] the meta hash
  ARGV[1..] sequence, size, above; and so on. Decimal texts: they have 64 bits, and Lua's numbers only 53
  Returns {'done', the last number of each block, as text} | {'dropped'} | {'exhausted', sequence}   Cost O(blocks) ]]
if redis.call('EXISTS', META) == 0 then
  return { 'dropped' }
end
for n = 1, 3 * math.ceil(#ARGV / 3) do
  if not string.match(ARGV[n] or '', '^%d+$') then
    error('a malformed request: not a number')
  end
end
local key, answer = PREFIX .. 's', { 'done' }
for n = 1, #ARGV, 3 do
  local sequence, size, above = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  if exceeds(above, redis.call('HGET', key, sequence) or '0') then
    redis.call('HSET', key, sequence, above)
  end
  local taken = redis.pcall('HINCRBY', key, sequence, size)
  if type(taken) == 'table' then
    return { 'exhausted', sequence }
  end
  answer[#answer + 1] = redis.call('HGET', key, sequence)
end
return answer
