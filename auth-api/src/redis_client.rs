//! Redis client for a single server, Sentinel and Cluster: one multiplexed connection to each server.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`address`] | `REDIS_URL`: its topology is a single server, a master with Sentinels, or a Cluster |
//! | [`tls`] | TLS, and the certificate authorities it trusts |
//! | `connection` | one connection: handshake, login, heartbeats |
//! | [`deadline`] | scripts that change nothing once their caller has timed out |
//! | `reconnecting` | a self-healing connection to one server: reconnects with backoff |
//! | `sentinel` | discovery of the master |
//! | `cluster`, `slot_map`, `route` | MOVED and ASK redirects, topology refresh, routing by slot |
//! | `tracking` | invalidation messages (client-side caching) |
//!
//! Every reply has a timeout. While there is no connection, commands fail at once. A heartbeat twice a second detects a
//! silent partition; what was read over a connection may be cached only under the [lease](crate::lease) that the heartbeats
//! renew.

pub mod address;
mod cluster;
mod connection;
pub mod deadline;
mod reconnecting;
mod route;
mod sentinel;
mod slot_map;
pub mod tls;
mod tracking;

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, Value};

use crate::lease::Lease;
use crate::password_file::Password;
use address::{RedisAddress, Topology};
use cluster::Cluster;
use connection::Dialer;
use reconnecting::{ReconnectingConnection, Target, TrackedConnection};
use route::slot_of;
use sentinel::Sentinels;
use tls::Tls;
pub use tracking::Invalidation;
use tracking::OnInvalidate;

/// Settings of the client.
#[derive(Clone)]
pub struct RedisConfig {
    pub address: RedisAddress,
    pub password: Password,
    pub sentinel_password: Password,
    pub tls: Option<Tls>,
    /// Timeout of a reply.
    pub timeout: Duration,
    /// Time after which a script with a deadline is not executed any more: `timeout`, since its caller waits no longer.
    pub script_deadline: Duration,
}

/// A value read with client tracking on.
#[derive(Debug)]
pub struct Tracked<T> {
    pub value: T,
    /// Time until the key expires; `Duration::MAX` if it does not.
    pub ttl: Duration,
    /// Valid while an invalidation of the key would arrive; `None` if none is guaranteed.
    pub lease: Option<Lease>,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Servers>);

enum Servers {
    One(ReconnectingConnection),
    Cluster(Cluster),
}

impl Redis {
    /// Starts to connect; Redis may be unavailable. `on_invalidate` is called, from the client's own tasks, for each change
    /// of what [`Redis::read_tracked`] read; it must not block.
    pub fn connect(config: &RedisConfig, on_invalidate: impl Fn(Invalidation) + Send + Sync + 'static) -> Self {
        let dialer = config.dialer();
        let on_invalidate: OnInvalidate = Arc::new(on_invalidate);
        let target = match config.address.topology.clone() {
            Topology::Single(server) => Target::Server(server),
            Topology::Sentinel { sentinels, master } => {
                Target::Master(Box::new(Sentinels::new(sentinels, master, config.sentinel_dialer())))
            }
            Topology::Cluster { nodes } => {
                return Self(Arc::new(Servers::Cluster(Cluster::start(nodes, dialer, on_invalidate))));
            }
        };
        Self(Arc::new(Servers::One(ReconnectingConnection::start(target, dialer, on_invalidate))))
    }

    /// Returns the masters; none while no slot map of the Cluster is known.
    pub async fn masters(&self) -> Vec<Master> {
        match &*self.0 {
            Servers::One(connection) => {
                let (name, hash_tag) = ("Redis".to_owned(), "0".to_owned());
                vec![Master { name, hash_tag, connection: connection.clone() }]
            }
            Servers::Cluster(cluster) => cluster.masters().await,
        }
    }

    /// Reads `fields` of the hash at `key`, and its TTL, and subscribes to the invalidation of the key.
    pub async fn read_tracked<T: FromRedisValue>(&self, key: &str, fields: &[&str]) -> RedisResult<Tracked<T>> {
        let mut reads = redis::pipe();
        reads.cmd("HMGET").arg(key).arg(fields).cmd("PTTL").arg(key);
        let (replies, lease) = match &*self.0 {
            Servers::One(connection) => {
                let TrackedConnection { mut commands, lease, .. } = connection.get().await?;
                (commands.send_packed_commands(&reads, 0, 2).await?, Some(lease))
            }
            Servers::Cluster(cluster) => cluster.read(slot_of(key.as_bytes()), &reads).await?,
        };
        let (value, ttl_millis): (T, i64) =
            redis::from_redis_value(Value::Array(replies).extract_error()?).map_err(RedisError::from)?;
        // -1 for a key without a TTL, -2 for no key.
        let ttl = u64::try_from(ttl_millis).map_or(Duration::MAX, Duration::from_millis);
        Ok(Tracked { value, ttl, lease })
    }
}

/// A master, as [`Redis::masters`] returns it.
pub struct Master {
    /// Host and port; "Redis" where there is only one.
    pub name: String,
    /// A text that, as a hash tag, makes a key one of this master's.
    pub hash_tag: String,
    connection: ReconnectingConnection,
}

impl Master {
    /// Runs a pipeline, and returns the reply to each command, errors included.
    pub async fn run(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut commands = self.connection.get().await?.commands;
        commands.send_packed_commands(pipeline, 0, pipeline.cmd_iter().count()).await
    }
}

impl RedisConfig {
    fn dialer(&self) -> Dialer {
        let login = RedisConnectionInfo::default().set_db(self.address.database);
        let login = self.address.user.iter().fold(login, RedisConnectionInfo::set_username);
        self.dialer_with(login, &self.password)
    }

    fn sentinel_dialer(&self) -> Dialer {
        self.dialer_with(RedisConnectionInfo::default(), &self.sentinel_password)
    }

    fn dialer_with(&self, login: RedisConnectionInfo, password: &Password) -> Dialer {
        Dialer {
            tls: self.tls.clone(),
            login,
            password: password.clone(),
            timeout: self.timeout,
            script_deadline: self.script_deadline,
        }
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl ConnectionLike for Redis {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            match &*self.0 {
                Servers::One(connection) => connection.get().await?.send(cmd).await,
                Servers::Cluster(cluster) => cluster.run(cmd).await,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            match &*self.0 {
                Servers::One(connection) => {
                    connection.get().await?.commands.send_packed_commands(cmd, offset, count).await
                }
                Servers::Cluster(cluster) => cluster.run_all(cmd, offset, count).await,
            }
        })
    }

    fn get_db(&self) -> i64 {
        // Not used: each connection selects the configured database in its handshake.
        0
    }
}
