-- Counts a request against a rate limit: a sliding window log.
--
-- Invariant: at most ARGV[1] requests are counted within any window. A request past the limit is not counted, so that a
-- client that goes on trying is not locked out for longer. Redis's clock is the one that all replicas share.
--
-- KEYS[1]  sorted set of the counted requests: id by when it leaves the window, in Unix milliseconds
-- ARGV[1]  the limit      ARGV[2]  the request's id      ARGV[3]  the window, in milliseconds
-- Returns 0: counted; or, past the limit, the milliseconds until the next request would be.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local count = redis.call('ZCARD', KEYS[1])
if count >= limit then
  -- More than the limit where the setting was lowered.
  local blocking = redis.call('ZRANGE', KEYS[1], count - limit, count - limit, 'WITHSCORES')
  return math.ceil(tonumber(blocking[2]) - now)
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
