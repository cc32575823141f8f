//! The link to Redis, however it is run: one connection to each server that all requests share, pipelined.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`address`] | `REDIS_URL`: one server, a master watched by Sentinels, or a Cluster |
//! | [`tls`] | whose certificates are believed |
//! | `connection` | one connection: greeting, login, and whether it still serves |
//! | [`deadline`] | scripts that change nothing once their caller has stopped waiting |
//! | `link` | keeps a connection to one server: one attempt to connect at a time, with growing pauses |
//! | `sentinel` | which server is the master |
//! | `cluster`, `topology`, `slots` | which server has which keys |
//! | `push` | what Redis tells of what has changed |
//!
//! Every answer has a time limit. While there is no connection, requests are told at once. A connection is asked twice a
//! second whether it still serves, so that a silent one is given up and made anew; what was read over it is good only
//! while it answers ([`super::lease`]).

pub mod address;
mod cluster;
mod connection;
pub mod deadline;
mod link;
mod push;
mod sentinel;
mod slots;
pub mod tls;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, Value};

use super::StoreError;
use super::lease::{Lease, Moment};
use address::{Arrangement, RedisAddress};
use cluster::Cluster;
use connection::Dialer;
use link::{Lent, Link, Target};
pub use push::Change;
use sentinel::Sentinels;
use slots::slot_of;
use tls::Tls;

/// Where Redis is, and how to get in.
#[derive(Clone)]
pub struct RedisConfig {
    /// Which servers, and the user.
    pub address: RedisAddress,
    /// Redis's password.
    pub password: Option<String>,
    /// That of the Sentinels.
    pub sentinel_password: Option<String>,
    /// Whether TLS is spoken, and who is believed.
    pub tls: Option<Tls>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long after it was sent a script with a deadline may be executed: as long as `timeout`, since its caller does not
    /// wait for longer.
    pub script_deadline: Duration,
}

/// What was read of a key.
#[derive(Debug)]
pub struct Tracked<T> {
    /// The value.
    pub value: T,
    /// When the key expires by itself.
    pub expires: Moment,
    /// Holds while a change of the key would be told. There is none where nobody promises it.
    pub lease: Option<Lease>,
}

impl<T> Tracked<Option<T>> {
    /// Nothing that is worth to be kept.
    pub(super) fn nothing() -> Self {
        Self { value: None, expires: Moment::now(), lease: None }
    }
}

/// The link. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Servers>);

enum Servers {
    One(Link),
    Cluster(Cluster),
}

impl Redis {
    /// A link that starts to connect; Redis need not be there. `changed` is called, from the link's own tasks, for each
    /// change of what [`Redis::read_tracked`] read; it must not block.
    pub fn connect(config: &RedisConfig, changed: impl Fn(Change) + Send + Sync + 'static) -> Result<Self, StoreError> {
        let (dialer, changed) = (config.dialer(), Arc::new(changed));
        let servers = match config.address.arrangement.clone() {
            Arrangement::Single(server) => Servers::One(Link::start(Target::Server(server), dialer, changed)),
            Arrangement::Sentinel { sentinels, master } => {
                let sentinels = Sentinels::new(sentinels, master, config.sentinel_dialer());
                Servers::One(Link::start(Target::Master(Box::new(sentinels)), dialer, changed))
            }
            Arrangement::Cluster { nodes } => Servers::Cluster(Cluster::start(nodes, dialer, changed)),
        };
        Ok(Self(Arc::new(servers)))
    }

    /// Reads `fields` of the hash at `key`, and how long it lives, and has Redis tell of each change from then on.
    pub async fn read_tracked<T: FromRedisValue>(&self, key: &str, fields: &[&str]) -> Result<Tracked<T>, StoreError> {
        let mut reads = redis::pipe();
        reads.cmd("HMGET").arg(key).arg(fields).cmd("PTTL").arg(key);
        let read = Moment::now();
        let (answers, lease) = match &*self.0 {
            Servers::One(link) => {
                let Lent { mut requests, lease, .. } = link.lent().await?;
                (requests.send_packed_commands(&reads, 0, 2).await?, Some(lease))
            }
            Servers::Cluster(cluster) => cluster.read(slot_of(key.as_bytes()), &reads).await?,
        };
        let (value, millis): (T, i64) =
            redis::from_redis_value(Value::Array(answers).extract_error()?).map_err(RedisError::from)?;
        // It says -1 of a key that does not expire, and -2 of one that is not there.
        let lives = u64::try_from(millis).map_or(Duration::MAX, Duration::from_millis);
        Ok(Tracked { value, expires: read.after(lives), lease })
    }
}

impl RedisConfig {
    fn dialer(&self) -> Dialer {
        let login = login(self.address.user.as_deref(), self.password.as_deref()).set_db(self.address.database);
        self.dialer_with(login)
    }

    fn sentinel_dialer(&self) -> Dialer {
        let login = login(None, self.sentinel_password.as_deref());
        self.dialer_with(login)
    }

    fn dialer_with(&self, login: RedisConnectionInfo) -> Dialer {
        Dialer { tls: self.tls.clone(), login, timeout: self.timeout, script_deadline: self.script_deadline }
    }
}

fn login(user: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let login = RedisConnectionInfo::default();
    let login = user.into_iter().fold(login, RedisConnectionInfo::set_username);
    password.into_iter().fold(login, RedisConnectionInfo::set_password)
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
                Servers::One(link) => link.lent().await?.send(cmd).await,
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
                Servers::One(link) => link.connection().await?.send_packed_commands(cmd, offset, count).await,
                Servers::Cluster(cluster) => cluster.run_all(cmd, offset, count).await,
            }
        })
    }

    fn get_db(&self) -> i64 {
        // Nobody asks: every connection selects the database of the configuration when it is made.
        0
    }
}
