-- Creates a session, and ends the least recently used ones that are too many. Follows deadline.lua: executed late, it would
-- end a session for one that no client has.
--
-- Invariant: a user has ARGV[3] sessions at most, and no session ends that need not: those that have ended, by any means,
-- do not count.
--
-- KEYS[1]  the session      KEYS[2]  the user's index of sessions: id by when it was last used
-- KEYS[3…]  the sessions that the index names, least recently used first; none where it is not known to be full
-- ARGV[1]  the session's id      ARGV[2]  how long it lives, in seconds      ARGV[3]  the most sessions
-- ARGV[4…]  the ids of KEYS[3…], then the fields and values of the session but its times, then three of deadline.lua
-- Returns when it was created, in Unix seconds; or 0 if the index is full and names others than KEYS[3…]: read it, and
-- call again.
local now = time[1]
local others = #KEYS - 2
local count = redis.call('zcard', KEYS[2])
if count >= tonumber(ARGV[3]) then
  if count ~= others then
    return 0
  end
  for i = 1, others do
    if redis.call('exists', KEYS[2 + i]) == 0 then
      count = count - redis.call('zrem', KEYS[2], ARGV[3 + i])
    end
  end
  for i = 1, others do
    if count < tonumber(ARGV[3]) then
      break
    end
    redis.call('del', KEYS[2 + i])
    count = count - redis.call('zrem', KEYS[2], ARGV[3 + i])
  end
end
redis.call('hset', KEYS[1], 'created_at', now, 'last_used_at', now, unpack(ARGV, 4 + others, #ARGV - 3))
redis.call('expire', KEYS[1], ARGV[2])
redis.call('zadd', KEYS[2], now, ARGV[1])
-- The index must outlive each session.
if redis.call('ttl', KEYS[2]) < tonumber(ARGV[2]) then
  redis.call('expire', KEYS[2], ARGV[2])
end
return now
