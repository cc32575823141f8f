-- Records the first use of an access token: the refresh token that was exchanged for its pair is not repeatable any more,
-- but for the grace (rotate.lua).
--
-- KEYS[1]  the session      ARGV[1]  the `jti` of the access token
if redis.call('hget', KEYS[1], 'unused') == ARGV[1] then
  redis.call('hdel', KEYS[1], 'unused')
end
return 0
