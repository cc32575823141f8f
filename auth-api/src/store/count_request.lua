-- Counts a request against a rate limit: a sliding window log. Follows deadline.lua: executed late, it would count a request
-- that has been answered with 503.
--
-- Invariant: at most ARGV[1] requests are counted within any window. A request past the limit is not counted, so that a
-- client that goes on trying is not locked out for longer.
--
-- KEYS[1]  sorted set of the counted requests: id by when it leaves the window, in Unix milliseconds
-- ARGV[1]  the limit      ARGV[2]  the request's id      ARGV[3]  the window, in milliseconds
-- ARGV[4…]  those of deadline.lua
-- Returns 0: counted; or, past the limit, the milliseconds until the next request would be.
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
redis.call('zremrangebyscore', KEYS[1], '-inf', now)
local count = redis.call('zcard', KEYS[1])
if count >= limit then
  -- More than the limit where the setting was lowered.
  local blocking = redis.call('zrange', KEYS[1], count - limit, count - limit, 'withscores')
  return math.ceil(tonumber(blocking[2]) - now)
end
redis.call('zadd', KEYS[1], now + ARGV[3], ARGV[2])
redis.call('pexpire', KEYS[1], ARGV[3])
return 0
