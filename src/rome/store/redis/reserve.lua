--[[ reserve: take blocks of numbers from sequences; of size 0: see where a sequence stands
  KEYS[1] the meta hash
  ARGV[1..] sequence, size, above, the last number that is to be taken again or 0, how many are needed beyond it; and
    so on. Decimal texts: they have 64 bits, and Lua's numbers only 53
  Returns {'done', for each block its last number, or 'again'} | {'dropped'} | {'exhausted', sequence}   Cost O(blocks) ]]
-- Include: decimals
if redis.call('EXISTS', META) == 0 then
  return { 'dropped' }
end
for n = 1, 5 * math.ceil(#ARGV / 5) do
  if not string.match(ARGV[n] or '', '^%d+$') then
    error('a malformed request: not a number')
  end
end
-- Numbers that are taken stay in this server's memory: neither its file nor its replicas wait for them. A commit writes
-- the numbers of its rows, so a server that forgets the others gives no committed one again.
redis.set_repl(redis.REPL_NONE)
local key, answer = PREFIX .. 's', { 'done' }
for n = 1, #ARGV, 5 do
  local sequence, size, above, last_again, beyond = unpack(ARGV, n, n + 4)
  local last = redis.call('HGET', key, sequence) or '0'
  local again = last_again == last and last ~= '0'
  if again then
    size = beyond
  end
  if exceeds(above, last) then
    last = above
    if size ~= '0' then
      redis.call('HSET', key, sequence, above)
    end
  end
  if size ~= '0' then
    local taken = redis.pcall('HINCRBY', key, sequence, size)
    if type(taken) == 'table' then
      return { 'exhausted', sequence }
    end
    last = redis.call('HGET', key, sequence)
  end
  answer[#answer + 1] = again and 'again' or last
end
return answer
