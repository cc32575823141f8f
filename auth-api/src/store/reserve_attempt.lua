-- Reserves a login attempt, if the failures so far and the attempts that are reserved leave room for it. Follows
-- deadline.lua: executed late, it would count an attempt that has ended, until its reservation expires.
--
-- KEYS  the failed attempts, the reserved attempts: sorted sets of ids, by the time they cease to count (Unix ms)
-- ARGV  the limit of failures, this attempt's id, the TTL of its reservation (ms)
-- Returns {0, 0}: reserved. {1, ms}: too many failures; the time until the next attempt may start. {2, 0}: the reserved
-- attempts might all fail.
--
-- Invariant: failed + reserved is never more than the limit, so that no more passwords than that are checked in any
-- window, however many requests are concurrent. Redis's clock is the one that all replicas share.
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local failed = redis.call('ZCARD', KEYS[1])
if failed >= limit then
    -- More than the limit if the setting was lowered.
    local last = redis.call('ZRANGE', KEYS[1], failed - limit, failed - limit, 'WITHSCORES')
    return {1, math.ceil(tonumber(last[2]) - now)}
end
if failed + redis.call('ZCARD', KEYS[2]) >= limit then
    return {2, 0}
end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {0, 0}
