-- Fails a script whose caller has timed out: neither it nor the script that follows changes anything then.
--
-- After a stall Redis executes all that it has received meanwhile. The callers have timed out long ago, and retried or
-- given up.
--
-- The last of ARGV  the deadline, in Unix milliseconds by this server's clock. Every call has one, and before it the start
-- and the end of the last outage, in Unix seconds (deadline.rs).
-- Defines `time`, this server's: all replicas share it. time[1] is in Unix seconds, time[2] the microseconds of the second.
-- Returns the error LATE past the deadline.
local time = redis.call('time')
if time[1] * 1000 + time[2] / 1000 >= tonumber(ARGV[#ARGV]) then
  return redis.error_reply('LATE the deadline of this script has passed; it has changed nothing')
end
