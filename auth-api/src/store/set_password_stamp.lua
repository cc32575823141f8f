-- Keeps a session alive through a change of its user's password. Before the commit it follows deadline.lua: executed late,
-- it would replace the stamp of a later change.
--
-- Invariant: a session that has ended is never created again (HSET alone would).
--
-- KEYS[1]  the session
-- ARGV[1]  'stamp_next' before the change is committed, 'stamp' after it
-- ARGV[2]  the new password stamp
-- Returns 1, or 0 if there is no such session.
if redis.call('exists', KEYS[1]) == 0 then
  return 0
end
-- A write without effect: first what needs no memory, see sessions.rs.
redis.call('hdel', KEYS[1], '')
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1
