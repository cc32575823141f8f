//! One connection to one server, from its greeting to its end.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, RedisResult, Value,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::address::Server;
use super::deadline::RedisClock;
use super::tls::Tls;
use crate::store::lease::{Lease, Moment, RENEW_EVERY};

/// How long that answer may take, if commands may not take less. What is asked for in between waits no longer either: a
/// connection that is given up fails all that waits on it.
const CHECK_WITHIN: Duration = Duration::from_secs(1);

/// Commands that wait for the connection's own task. (The crate's own 50 have many senders sleep and wake.)
const QUEUE_MAX: usize = 1024;

/// How to connect.
#[derive(Clone)]
pub(super) struct Dialer {
    /// Whether TLS is spoken, and who is believed.
    pub(super) tls: Option<Tls>,
    /// User, password and database.
    pub(super) login: RedisConnectionInfo,
    /// How long connecting may take, and each answer after it.
    pub(super) timeout: Duration,
    /// How long after it was sent a script with a deadline may be executed.
    pub(super) script_deadline: Duration,
}

/// A connection. Dropped, it is closed, and all that waits on it fails at once.
pub(super) struct Connection {
    requests: MultiplexedConnection,
    driver: JoinHandle<()>,
    check_within: Duration,
    lease: Lease,
    clock: RedisClock,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.lease.end();
        self.driver.abort();
    }
}

impl Dialer {
    /// Connects and logs in. `pushed` gets what the server says unasked; it must not block.
    pub(super) async fn dial(
        &self,
        server: &Server,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let connecting = async {
            let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                Some(tls) => self.greet(tls.wrap(&server.host, stream).await?, pushed).await,
                None => self.greet(stream, pushed).await,
            }
        };
        timeout(self.timeout, connecting).await.unwrap_or_else(|_| Err(failed("it does not answer")))
    }

    async fn greet(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.timeout))
            .set_pipeline_buffer_size(QUEUE_MAX)
            .set_push_sender(move |push| {
                pushed(push);
                Ok::<_, redis::aio::SendError>(())
            });
        let login = self.login.clone().set_protocol(ProtocolVersion::RESP3);
        let (requests, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        let check_within = self.timeout.min(CHECK_WITHIN);
        let (driver, lease, clock) = (tokio::spawn(driver), Lease::new(), RedisClock::new(0));
        Ok(Connection { requests, driver, check_within, lease, clock })
    }
}

impl Connection {
    /// Where commands go.
    pub(super) fn requests(&self) -> MultiplexedConnection {
        self.requests.clone()
    }

    /// Makes it one that writes may go to, and that tells what has changed of what was read over it. It follows one that was
    /// last heard at `lost`, or none.
    pub(super) async fn track(&mut self, lost: i64) -> RedisResult<()> {
        self.clock = RedisClock::new(lost);
        let sent = heartbeat(self.requests(), &self.clock).await?;
        redis::cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut self.requests()).await?;
        self.lease.renew(sent);
        Ok(())
    }

    /// Holds while it is known to tell of changes, once it [`track`](Self::track)s.
    pub(super) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// The server's clock, known once it [`track`](Self::track)s.
    pub(super) fn clock(&self) -> RedisClock {
        self.clock.clone()
    }

    /// Returns when it is lost, and why: closed, silent, or to a server that is the master no more.
    pub(super) async fn until_lost(&mut self) -> RedisError {
        let (requests, lease, clock) = (self.requests(), self.lease(), self.clock());
        tokio::select! {
            _ = &mut self.driver => failed("it has closed the connection"),
            error = until_a_heartbeat_fails(requests, self.check_within, lease, clock) => error,
        }
    }
}

/// Sends heartbeats (a partition says nothing by itself), and renews `lease` with each reply: invalidations come over the
/// same connection, in the order in which the changes happened.
async fn until_a_heartbeat_fails(
    requests: MultiplexedConnection,
    within: Duration,
    lease: Lease,
    clock: RedisClock,
) -> RedisError {
    loop {
        sleep(RENEW_EVERY).await;
        let beat = timeout(within, heartbeat(requests.clone(), &clock)).await;
        match beat.unwrap_or_else(|_| Err(failed("it does not answer"))) {
            Ok(sent) => lease.renew(sent),
            Err(error) => return error,
        }
    }
}

/// Asks the server for its role and its time, and returns when it was asked. Fails unless it replies as a master: one that
/// Sentinel or a Cluster has made a replica refuses writes, and what is read there may be old.
async fn heartbeat(mut requests: MultiplexedConnection, clock: &RedisClock) -> RedisResult<Moment> {
    let sent = Moment::now();
    let replies = requests.send_packed_commands(redis::pipe().cmd("ROLE").cmd("TIME"), 0, 2).await?;
    let received = Moment::now();
    let mut replies = replies.into_iter();
    // That we may not ask for its role is not its end.
    if let Some(Value::Array(role)) = replies.next()
        && role.first().is_some_and(is_replica)
    {
        return Err(failed("it is a replica"));
    }
    let time = replies.next().unwrap_or(Value::Nil).extract_error()?;
    let (seconds, micros): (i64, i64) = redis::from_redis_value(time).map_err(RedisError::from)?;
    clock.learn(seconds.saturating_mul(1_000_000).saturating_add(micros), sent, received);
    Ok(sent)
}

fn is_replica(role: &Value) -> bool {
    matches!(role, Value::BulkString(name) if name == b"slave")
        || matches!(role, Value::SimpleString(name) if name == "slave")
}

/// An error of the link itself; all of them are "away", none is the command's fault.
pub(super) fn failed(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, why))
}
