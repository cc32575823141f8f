-- Lets one more try of a password begin, if the failures so far and the tries that are being checked leave room for it.
-- Follows deadline.lua: executed late, it would count a try that has ended, until it expires.
--
-- KEYS  the failed tries, the tries that are being checked: sorted sets of ids, by when they cease to count (Unix ms)
-- ARGV  how many may fail, this try's id, how long it may be checked at most (ms)
-- Returns {0, 0}: it may begin, and is counted among those that are checked. {1, ms}: too many have failed; so long until
-- the next may begin. {2, 0}: those that are checked might all fail.
--
-- Invariant: failed + checked is never more than the limit, so that no more passwords than that are looked at in any
-- window, however many come at once. Redis's own clock is the one that all replicas share.
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local failed = redis.call('ZCARD', KEYS[1])
if failed >= limit then
    -- More than the limit where it has been lowered.
    local last = redis.call('ZRANGE', KEYS[1], failed - limit, failed - limit, 'WITHSCORES')
    return {1, math.ceil(tonumber(last[2]) - now)}
end
if failed + redis.call('ZCARD', KEYS[2]) >= limit then
    return {2, 0}
end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {0, 0}
