-- Changes a session's refresh token for its successor.
--
-- Invariants: a session has one line of refresh tokens, since a token's successor is the same whoever asks for it. The
-- current token is changed once; the one before it, for the grace, for what it was changed for (two tabs, or an answer
-- that was lost). Any other is a token that somebody has kept: the session ends. Redis runs one script at a time. A
-- session that is gone is never made anew.
--
-- KEYS[1]  the session      KEYS[2]  the user's index of sessions
-- ARGV[1]  digest of the token that was shown      ARGV[2]  digest of its successor
-- ARGV[3]  the account's password stamp            ARGV[4]  now, in Unix seconds; clocks of replicas may differ
-- ARGV[5]  how long the session lives from now     ARGV[6]  the grace, both in seconds
-- ARGV[7]  the session's id in the index
-- Returns when the successor was issued, in Unix seconds; or -1: there is no such session; -2: its stamp is of another
-- password; -3: the token was used before, and the session has ended.
local session = redis.call('hmget', KEYS[1], 'refresh', 'stamp', 'stamp_next', 'previous', 'rotated_at')
if not session[1] then
  return -1
end
if session[2] ~= ARGV[3] and session[3] ~= ARGV[3] then
  return -2
end
if session[1] == ARGV[1] then
  redis.call('hset', KEYS[1], 'refresh', ARGV[2], 'previous', ARGV[1], 'rotated_at', ARGV[4], 'last_used_at', ARGV[4])
  redis.call('expire', KEYS[1], ARGV[5])
  redis.call('zadd', KEYS[2], ARGV[4], ARGV[7])
  redis.call('expire', KEYS[2], ARGV[5])
  return tonumber(ARGV[4])
end
local rotated_at = tonumber(session[5])
if rotated_at and session[4] == ARGV[1] and tonumber(ARGV[4]) - rotated_at <= tonumber(ARGV[6]) then
  return rotated_at
end
redis.call('del', KEYS[1])
redis.call('zrem', KEYS[2], ARGV[7])
return -3
