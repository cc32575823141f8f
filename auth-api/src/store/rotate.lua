-- Changes a session's refresh token for its successor.
--
-- Invariant: a session has one current refresh token, and only who shows it gets the next one. Redis runs one script
-- at a time, so of many who show the same token at once, one rotates it.
--
-- KEYS[1]  the session
-- ARGV[1]  digest of the token that was shown      ARGV[2]  digest of its successor
-- ARGV[3]  the account's password stamp            ARGV[4]  now, in Unix seconds
-- ARGV[5]  how long the session lives from now, in seconds
-- Returns 1 if it was rotated; 0 if there is no such session, its stamp is of an older password, or the token is not
-- its current one. A session that is gone is never made anew.
local session = redis.call('hmget', KEYS[1], 'refresh', 'stamp', 'stamp_next')
if session[1] ~= ARGV[1] then
  return 0
end
if session[2] ~= ARGV[3] and session[3] ~= ARGV[3] then
  return 0
end
redis.call('hset', KEYS[1], 'refresh', ARGV[2], 'last_used_at', ARGV[4])
redis.call('expire', KEYS[1], ARGV[5])
return 1
