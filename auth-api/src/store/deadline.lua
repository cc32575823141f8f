-- Refuses a script whose caller has stopped waiting: it and the script that follows change nothing then.
--
-- After a stall Redis executes all that it has received meanwhile. The callers have timed out long ago, and retried or
-- given up.
--
-- The last of ARGV  the deadline, in Unix milliseconds by this server's clock. Every call has one, and before it when the
-- last outage began and when it ended, in Unix seconds (redis_link/deadline.rs).
-- Defines `time`, this server's: all replicas share it. time[1] is in Unix seconds, time[2] the microseconds of the second.
-- Returns the error LATE past the deadline.
local time = redis.call('time')
if time[1] * 1000 + time[2] / 1000 >= tonumber(ARGV[#ARGV]) then
  return redis.error_reply('LATE the deadline of this script has passed; it has changed nothing')
end
