-- Keeps a copy of an account's row.
--
-- Invariant: the version never falls. A row that is older than what is known, or announced, is not taken.
--
-- KEYS[1]  the copy
-- ARGV[1]  the row's version      ARGV[2]  the row      ARGV[3]  how long it is kept, in milliseconds
if redis.call('type', KEYS[1]).ok ~= 'hash' then
  redis.call('del', KEYS[1])
end
local known = redis.call('hmget', KEYS[1], 'version', 'row')
local version = tonumber(known[1]) or 0
-- The same row again is not written: every process that holds it would be told of a change.
if version > tonumber(ARGV[1]) or (version == tonumber(ARGV[1]) and known[2]) then
  return
end
redis.call('hset', KEYS[1], 'version', ARGV[1], 'row', ARGV[2])
redis.call('pexpire', KEYS[1], ARGV[3])
