-- Says that an account is changing: there is no copy of it until one of the new version is put.
--
-- Invariant: the version never falls.
--
-- KEYS[1]  the copy
-- ARGV[1]  the version that is coming      ARGV[2]  how long this is remembered, in milliseconds
if redis.call('type', KEYS[1]).ok ~= 'hash' then
  redis.call('del', KEYS[1])
end
local known = redis.call('hmget', KEYS[1], 'version', 'row')
local version = tonumber(known[1]) or 0
if version > tonumber(ARGV[1]) or (version == tonumber(ARGV[1]) and known[2]) then
  return
end
-- Written though it may stand there already: a write is what tells the processes that hold the row.
redis.call('hset', KEYS[1], 'version', ARGV[1])
redis.call('hdel', KEYS[1], 'row')
redis.call('pexpire', KEYS[1], ARGV[2])
