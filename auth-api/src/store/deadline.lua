-- Refuses a script whose caller has stopped waiting: it and the script that follows change nothing then.
--
-- After a stall Redis executes all that it has received meanwhile. The callers have timed out long ago, and retried or
-- given up.
--
-- The last of ARGV  the deadline, in Unix milliseconds by this server's clock; every call has one (redis_link/deadline.rs)
-- Defines `now`, Unix seconds as text, and `now_ms`, a number, by this server's clock, which all replicas share.
-- Returns the error LATE past the deadline.
local time = redis.call('time')
local now, now_ms = time[1], time[1] * 1000 + math.floor(time[2] / 1000)
if now_ms >= tonumber(ARGV[#ARGV]) then
  return redis.error_reply('LATE the deadline of this script has passed; it has changed nothing')
end
