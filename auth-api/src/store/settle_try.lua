-- Says how a try that was let in has ended.
--
-- KEYS  the failed tries, the tries that are being checked
-- ARGV  the try's id, how it ended, how long a failure counts (ms)
--   failed     it counts from now on
--   right      so do none of those before it
--   given_back nobody has looked at the password
--
-- Invariant: a try is in one of the two at most, and each expires with its last entry.
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] == 'failed' then
    local time = redis.call('TIME')
    redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif ARGV[2] == 'right' then
    redis.call('DEL', KEYS[1])
end
