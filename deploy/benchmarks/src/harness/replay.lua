-- Replays the requests of a file in a loop; each thread starts at another offset.
--
-- Arguments: the file (each request is its length in bytes, a newline, and its bytes), the number of threads, and the
-- maximum pause before a request, in milliseconds (0: none).
-- Prints one line at the end: requests, microseconds, requests refused, and the 99th percentile in microseconds.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local requests = {}
local at

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  at = math.floor(number * #requests / tonumber(args[2]))
  local pause = tonumber(args[3])
  if pause > 0 then
    math.randomseed(number)
    delay = function() return math.random(0, pause) end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local refused = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("replayed %d %d %d %d", summary.requests, summary.duration, refused, latency:percentile(99)))
end
