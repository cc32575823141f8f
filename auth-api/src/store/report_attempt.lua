-- Reports the outcome of a reserved login attempt.
--
-- KEYS  the failed attempts, the reserved attempts
-- ARGV  the attempt's id, its outcome, how long a failure counts (ms)
--   failed     it counts from now on
--   succeeded  the failures before it cease to count
--   released   the password was not checked
--
-- Invariant: an attempt is in one of the two at most, and each expires with its last entry.
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] == 'failed' then
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif ARGV[2] == 'succeeded' then
    redis.call('DEL', KEYS[1])
end
