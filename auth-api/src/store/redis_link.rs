//! The link to Redis: one connection that all requests share, pipelined, and that comes back by itself.
//!
//! Redis tells us what has changed of what we have read ([client-side caching]); see [`Redis::read_tracked`].
//!
//! [client-side caching]: https://redis.io/docs/latest/develop/reference/client-side-caching/

use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, RedisFuture, Value};

use super::StoreError;

/// Where Redis is.
#[derive(Clone)]
pub struct RedisConfig {
    /// Address, database and password.
    pub server: redis::ConnectionInfo,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// The longest pause between two attempts to connect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What may be otherwise than it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The value of one key.
    Of(Vec<u8>),
    /// Any: the database was flushed, or the connection that would have told us is gone.
    Any,
}

/// The link. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
}

impl Redis {
    /// A link that connects when first asked. `changed` is called, from the link's own task, for each change of what
    /// [`Redis::read_tracked`] read; it must not block.
    pub fn connect(config: &RedisConfig, changed: impl Fn(Change) + Send + Sync + 'static) -> Result<Self, StoreError> {
        let settings = config.server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = redis::Client::open(config.server.clone().set_redis_settings(settings))?;
        let manager = ConnectionManagerConfig::new()
            .set_response_timeout(Some(config.timeout))
            .set_connection_timeout(Some(config.timeout))
            .set_number_of_retries(0)
            .set_max_delay(RECONNECT_PAUSE_MAX)
            .set_push_sender(move |push: PushInfo| {
                tell(push, &changed);
                Ok::<_, redis::aio::SendError>(())
            });
        Ok(Self { connection: ConnectionManager::new_lazy_with_config(client, manager)? })
    }

    /// Runs `reads`, all of keys in the slot of `key`, and has Redis tell of each change of what they read from then on.
    ///
    /// Tracking is asked for with each read, which costs Redis less than a microsecond: whatever connection it takes, and
    /// however new that is, it is a tracking one.
    pub async fn read_tracked<T: FromRedisValue>(&self, _key: &str, reads: &Pipeline) -> Result<T, StoreError> {
        let mut tracked = redis::pipe();
        tracked.cmd("CLIENT").arg("TRACKING").arg("ON").ignore();
        for read in reads.cmd_iter() {
            tracked.add_command(read.clone());
        }
        Ok(tracked.query_async(&mut self.connection.clone()).await?)
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl ConnectionLike for Redis {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.connection.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(cmd, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

fn tell(push: PushInfo, changed: &impl Fn(Change)) {
    match push.kind {
        PushKind::Disconnection => changed(Change::Any),
        PushKind::Invalidate => match push.data.into_iter().next() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    let key: Result<Vec<u8>, RedisError> = redis::from_redis_value(key).map_err(Into::into);
                    changed(key.map_or(Change::Any, Change::Of));
                }
            }
            // FLUSHALL and FLUSHDB name no key.
            _ => changed(Change::Any),
        },
        _ => (),
    }
}
