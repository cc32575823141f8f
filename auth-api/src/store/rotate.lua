-- Rotates a session's refresh token, and detects its reuse (RFC 9700, section 4.14.2). Follows deadline.lua.
--
-- Invariants: a session has one chain of refresh tokens, since a token's successor is derived from it. The current token
-- is rotated once. The one before it gets the same successor (two tabs, or a lost response) for the grace, which counts from
-- the rotation, or from the end of an outage that may have lost its reply; and after it while the pair of the successor has
-- not been used (record_use.lua): its client has lost the response. The current one's successor exists outside Redis only if
-- Redis has lost a rotation (`appendfsync everysec`, a failover): it is current then. Any other token is reused, and the
-- session is revoked. Redis runs one script at a time. A session that is gone is never created again.
--
-- KEYS[1]  the session      KEYS[2]  the user's index of sessions
-- ARGV[1]  digest of the presented token           ARGV[2]  digest of its successor
-- ARGV[3]  the session's `successor` after it      ARGV[4]  the user's password stamp
-- ARGV[5]  how long the session lives from now     ARGV[6]  the grace, both in seconds
-- ARGV[7]  the session's id in the index           ARGV[8]  jti of the access token issued with the successor
-- ARGV[9]  how long it lives from its creation, in seconds; 0: without limit
-- ARGV[10], ARGV[11]  when the last outage began, and ended
-- Returns {when the successor was issued, now, when the session was created}, in Unix seconds; or {-1, now, 0}: there is no
-- such session; {-2, now, 0}: its stamp is of another password; {-3, now, 0}: the token was reused, and the session is
-- revoked; {-4, now, 0}: the session has lived for ARGV[9]. It is not deleted: its tokens are expired, not invalid.
local now = time[1]
local session = redis.call('hmget', KEYS[1], 'refresh', 'stamp', 'stamp_next', 'previous', 'rotated_at', 'successor',
  'unused', 'created_at')
if not session[1] then
  return {-1, now, 0}
end
if session[2] ~= ARGV[4] and session[3] ~= ARGV[4] then
  return {-2, now, 0}
end
local lifetime = tonumber(ARGV[5])
if ARGV[9] ~= '0' then
  -- After a manual edit it may be missing or no number: the limit is reached then.
  local created_at = tonumber((session[8] or ''):match('^%d+$') or 0)
  lifetime = math.min(lifetime, created_at + ARGV[9] - now)
  if lifetime <= 0 then
    return {-4, now, 0}
  end
end
-- `successor` counts only for the token that it names first: a replica of an earlier release rotates without it.
if session[1] == ARGV[1] or session[6] == session[1]:sub(-32) .. ARGV[1]:sub(-32) then
  -- First what needs no memory: see sessions.rs.
  redis.call('expire', KEYS[1], lifetime)
  redis.call('hset', KEYS[1], 'refresh', ARGV[2], 'previous', ARGV[1], 'successor', ARGV[3], 'unused', ARGV[8],
    'rotated_at', now, 'last_used_at', now)
  redis.call('zadd', KEYS[2], now, ARGV[7])
  -- The index must outlive each session.
  if redis.call('ttl', KEYS[2]) < lifetime then
    redis.call('expire', KEYS[2], lifetime)
  end
  return {now, now, session[8]}
end
local rotated_at = tonumber(session[5])
if rotated_at and session[4] == ARGV[1] then
  local answered_at = rotated_at
  if rotated_at >= tonumber(ARGV[10]) then
    answered_at = math.max(rotated_at, ARGV[11])
  end
  if now - answered_at <= tonumber(ARGV[6]) or session[7] == ARGV[8] then
    return {session[5], now, session[8]}
  end
end
redis.call('del', KEYS[1])
redis.call('zrem', KEYS[2], ARGV[7])
return {-3, now, 0}
