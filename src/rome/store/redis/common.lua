--[[ common: what all scripts share; put before each of them, and run by none alone. What only some share is in files that
  these include.
  KEYS[1] the meta hash of the database, whose name is PREFIX .. 'm': all other keys are named after it
  Key names, the shapes of members and records, and why nothing here uses `<` on strings: docs/commit-protocol.md ]]
local META = KEYS[1]
local PREFIX = string.sub(META, 1, -2)
local SLICE = 1000 -- arguments per command: unpack() raises beyond 7,999
local CHUNK = 128 -- members read at a time, so that a search stops soon after it has what it wants
local COMMIT_BYTES, MEMBER_BYTES = 250, 300 -- what a commit and a log member take beside their own bytes, about
local QUEUE_HEAD = '>I8I8I8I4' -- of an element of the trim queue: version, time in ms, bytes, log members
local work = 0 -- log members looked at: what the tests bound, since a timing would not be a test

local function number(text)
  return tonumber(text or 0)
end

-- Asks a command whose arguments may be too many for one call; returns all of its answers.
local function gather(command, key, arguments)
  if #arguments == 0 then
    return {}
  end
  if #arguments <= SLICE then
    return redis.call(command, key, unpack(arguments))
  end
  local answers = {}
  for first = 1, #arguments, SLICE do
    local slice = redis.call(command, key, unpack(arguments, first, math.min(first + SLICE - 1, #arguments)))
    for _, answer in ipairs(slice) do
      answers[#answers + 1] = answer
    end
  end
  return answers
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
