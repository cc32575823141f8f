//! One connection to one server: handshake, login, heartbeats.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, RedisResult, Value,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::address::ServerAddress;
use super::deadline::RedisClock;
use super::tls::Tls;
use crate::lease::{HEARTBEAT_INTERVAL, Lease};
use crate::password_file::Password;

/// Timeout of a heartbeat, or the command timeout if that is shorter. A failed heartbeat closes the connection and fails all
/// pending commands.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// Commands queued for the connection's task. (With the crate's default of 50 many senders sleep and wake.)
const QUEUE_MAX: usize = 1024;

/// Opens connections.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) tls: Option<Tls>,
    /// User and database.
    pub(super) login: RedisConnectionInfo,
    pub(super) password: Password,
    /// Timeout of the connect and handshake, and of each reply.
    pub(super) timeout: Duration,
    /// Time after which a script with a deadline is not executed any more.
    pub(super) script_deadline: Duration,
}

/// A connection. Dropping it closes it and fails all pending commands.
pub(super) struct Connection {
    commands: MultiplexedConnection,
    driver: JoinHandle<()>,
    heartbeat_timeout: Duration,
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
    /// Connects and logs in. `on_push` receives the RESP3 push messages; it must not block.
    pub(super) async fn dial(
        &self,
        server: &ServerAddress,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let connecting = async {
            let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                Some(tls) => self.log_in(tls.handshake(&server.host, stream).await?, on_push).await,
                None => self.log_in(stream, on_push).await,
            }
        };
        timeout(self.timeout, connecting).await.unwrap_or_else(|_| Err(failed("no reply in time")))
    }

    async fn log_in(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.timeout))
            .set_pipeline_buffer_size(QUEUE_MAX)
            .set_push_sender(move |push| {
                on_push(push);
                Ok::<_, redis::aio::SendError>(())
            });
        let login = self.login.clone().set_protocol(ProtocolVersion::RESP3);
        let login = self.password.current().await.into_iter().fold(login, RedisConnectionInfo::set_password);
        let (commands, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        let heartbeat_timeout = self.timeout.min(HEARTBEAT_TIMEOUT);
        let (driver, lease, clock) = (tokio::spawn(driver), Lease::expired(), RedisClock::new(0));
        Ok(Connection { commands, driver, heartbeat_timeout, lease, clock })
    }
}

impl Connection {
    pub(super) fn commands(&self) -> MultiplexedConnection {
        self.commands.clone()
    }

    /// Checks that the server is a master, and turns client tracking on. `last_heartbeat_before` is that of the connection
    /// before, by the server's clock, or 0.
    pub(super) async fn track(&mut self, last_heartbeat_before: i64) -> RedisResult<()> {
        self.clock = RedisClock::new(last_heartbeat_before);
        let sent = heartbeat(self.commands(), &self.clock).await?;
        redis::cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut self.commands()).await?;
        self.lease.renew(sent);
        Ok(())
    }

    /// The lease on the delivery of invalidations, valid only after [`track`](Self::track).
    pub(super) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// The server's clock, known only after [`track`](Self::track).
    pub(super) fn clock(&self) -> RedisClock {
        self.clock.clone()
    }

    /// Returns why the connection is lost: it was closed, or a heartbeat failed.
    pub(super) async fn until_lost(&mut self) -> RedisError {
        let (commands, lease, clock) = (self.commands(), self.lease(), self.clock());
        tokio::select! {
            _ = &mut self.driver => failed("the server closed it"),
            error = until_heartbeat_fails(commands, self.heartbeat_timeout, lease, clock) => error,
        }
    }
}

/// Sends heartbeats (a partition says nothing by itself), and renews `lease` with each reply: invalidations come over the
/// same connection, in the order in which the changes happened.
async fn until_heartbeat_fails(
    commands: MultiplexedConnection,
    heartbeat_timeout: Duration,
    lease: Lease,
    clock: RedisClock,
) -> RedisError {
    loop {
        sleep(HEARTBEAT_INTERVAL).await;
        let beat = timeout(heartbeat_timeout, heartbeat(commands.clone(), &clock)).await;
        match beat.unwrap_or_else(|_| Err(failed("no reply in time"))) {
            Ok(sent) => lease.renew(sent),
            Err(error) => return error,
        }
    }
}

/// Requests the server's role and time, and returns when that was sent. Fails on a replica: after a failover it refuses
/// writes, and its data may be stale.
async fn heartbeat(mut commands: MultiplexedConnection, clock: &RedisClock) -> RedisResult<Instant> {
    let sent = Instant::now();
    let replies = commands.send_packed_commands(redis::pipe().cmd("ROLE").cmd("TIME"), 0, 2).await?;
    let received = Instant::now();
    let mut replies = replies.into_iter();
    // A NOPERM reply still proves the server is alive.
    if let Some(Value::Array(role)) = replies.next()
        && role.first().is_some_and(is_replica)
    {
        return Err(failed("the server is a replica"));
    }
    let time = replies.next().unwrap_or(Value::Nil).extract_error()?;
    let (seconds, micros): (i64, i64) = redis::from_redis_value(time).map_err(RedisError::from)?;
    clock.update(seconds.saturating_mul(1_000_000).saturating_add(micros), sent, received);
    Ok(sent)
}

fn is_replica(role: &Value) -> bool {
    matches!(role, Value::BulkString(name) if name == b"slave")
        || matches!(role, Value::SimpleString(name) if name == "slave")
}

/// An error of the connection, none of the command.
pub(super) fn failed(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, why))
}
