-- Rotates a session's refresh token: the script of the previous release.
--
-- Invariants: a session has one chain of refresh tokens, as the successor of a token is deterministic. The current token is
-- rotated once; the one before it returns the same successor within the grace period (two tabs, or a lost response). Any
-- other token is reused: the session is revoked. Redis runs one script at a time. A deleted session is never recreated.
--
-- KEYS[1]  the session      KEYS[2]  the user's index of sessions
-- ARGV[1]  digest of the presented token       ARGV[2]  digest of its successor
-- ARGV[3]  the account's password stamp        ARGV[4]  now, in Unix seconds; clocks of replicas may differ
-- ARGV[5]  lifetime of the session from now    ARGV[6]  the grace period, both in seconds
-- ARGV[7]  the session's id in the index
-- Returns when the successor was issued, in Unix seconds; or -1: no such session; -2: the stamp is of another password;
-- -3: reuse detected, session revoked.
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
