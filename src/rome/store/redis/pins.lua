--[[ pins: list the pins whose time is not over
  KEYS[1] the meta hash
  Returns {'done', {version, owner, ms since its oldest transaction began, ms until its deadline}..} | {'dropped'}
  Cost O(pins) ]]
-- Include: pinned
local meta = redis.call('HMGET', META, 'incarnation', 'pins')
if not meta[1] then
  return { 'dropped' }
end
local now, answer = now_ms(), { 'done' }
for _, pin in ipairs(pins_of(meta[2], now)) do
  answer[#answer + 1] = { pin[2], pin[5], now - pin[3], pin[4] - now }
end
return answer
