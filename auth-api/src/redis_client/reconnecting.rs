//! A self-healing connection to one server: one task reconnects it with backoff.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::address::ServerAddress;
use super::connection::{Connection, Dialer, failed};
use super::deadline::RedisClock;
use super::sentinel::Sentinels;
use super::tracking::{OnInvalidate, dispatch};
use crate::lease::Lease;

/// Backoff between attempts to connect: it doubles from the first to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// Outages closer together count as one: clients may not have retried in between.
const OUTAGES_APART: Duration = Duration::from_secs(10);

/// Limit of the wait for the first attempt to connect, at the start and after a loss. After a failed attempt commands fail
/// at once.
pub(super) const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// Cheap to clone. Dropping the last clone closes the connection.
#[derive(Clone)]
pub(super) struct ReconnectingConnection {
    state: watch::Receiver<State>,
}

enum State {
    Connecting,
    Up(TrackedConnection),
    Down,
}

/// A usable connection.
#[derive(Clone)]
pub(super) struct TrackedConnection {
    pub(super) commands: MultiplexedConnection,
    /// Valid while invalidations of what was read over it arrive.
    pub(super) lease: Lease,
    clock: RedisClock,
    script_deadline: Duration,
}

impl TrackedConnection {
    /// Runs a command.
    pub(super) async fn send(mut self, cmd: &Cmd) -> RedisResult<Value> {
        let cmd = self.with_deadline(cmd);
        self.commands.send_packed_command(&cmd).await
    }

    /// Returns the command; a script call with a deadline on this server's clock.
    pub(super) fn with_deadline<'a>(&self, cmd: &'a Cmd) -> Cow<'a, Cmd> {
        self.clock.with_deadline(cmd, self.script_deadline)
    }
}

/// Server to connect to.
pub(super) enum Target {
    Server(ServerAddress),
    /// The current master, as reported by Sentinel.
    Master(Box<Sentinels>),
}

impl ReconnectingConnection {
    /// Starts to connect.
    pub(super) fn start(target: Target, dialer: Dialer, on_invalidate: OnInvalidate) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        tokio::spawn(Reconnector { target, dialer, on_invalidate, state: sender, last_heartbeat: 0 }.run());
        Self { state }
    }

    /// Returns the connection, or an error at once while the server is unavailable.
    pub(super) async fn get(&self) -> RedisResult<TrackedConnection> {
        if let Some(known) = self.get_now() {
            return known;
        }
        let mut state = self.state.clone();
        let _ = timeout(CONNECT_WAIT, state.wait_for(|state| !matches!(state, State::Connecting))).await;
        self.get_now().unwrap_or_else(|| Err(unavailable()))
    }

    /// Returns the connection, or `None` while the first attempt to connect is under way.
    pub(super) fn get_now(&self) -> Option<RedisResult<TrackedConnection>> {
        match &*self.state.borrow() {
            State::Up(connection) => Some(Ok(connection.clone())),
            State::Down => Some(Err(unavailable())),
            State::Connecting => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }
}

pub(super) fn unavailable() -> RedisError {
    failed("no connection")
}

/// The task that reconnects.
struct Reconnector {
    target: Target,
    dialer: Dialer,
    on_invalidate: OnInvalidate,
    state: watch::Sender<State>,
    /// See [`RedisClock::last_heartbeat`].
    last_heartbeat: i64,
}

impl Reconnector {
    async fn run(mut self) {
        let state = self.state.clone();
        tokio::select! {
            () = state.closed() => (),
            never = self.reconnect_loop() => match never {},
        }
    }

    async fn reconnect_loop(&mut self) -> Infallible {
        let mut backoff = Duration::ZERO;
        loop {
            let since = Instant::now();
            match self.connect().await {
                Ok((server, connection)) => {
                    tracing::info!(%server, "connected to Redis");
                    self.serve(&server, connection).await;
                    if since.elapsed() > BACKOFF_MAX {
                        backoff = Duration::ZERO;
                        continue;
                    }
                    // A connection that is closed at once counts as a failed attempt.
                }
                // Logged once an outage, not at each attempt.
                Err(error) if backoff.is_zero() => tracing::warn!(%error, "Redis is unavailable; reconnecting"),
                Err(error) => tracing::debug!(%error, "Redis is still unavailable"),
            }
            self.state.send_replace(State::Down);
            backoff = (backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
            sleep(backoff).await;
        }
    }

    async fn connect(&mut self) -> RedisResult<(ServerAddress, Connection)> {
        let server = match &mut self.target {
            Target::Server(server) => server.clone(),
            Target::Master(sentinels) => sentinels.master().await?,
        };
        let on_invalidate = Arc::clone(&self.on_invalidate);
        let mut connection = self.dialer.dial(&server, move |push| dispatch(push, &on_invalidate)).await?;
        connection.track(self.last_heartbeat).await?;
        Ok((server, connection))
    }

    /// Publishes the connection until it is lost.
    async fn serve(&mut self, server: &ServerAddress, mut connection: Connection) {
        let since = Instant::now();
        self.state.send_replace(State::Up(TrackedConnection {
            commands: connection.commands(),
            lease: connection.lease(),
            clock: connection.clock(),
            script_deadline: self.dialer.script_deadline,
        }));
        let error = match &mut self.target {
            Target::Server(_) => connection.until_lost().await,
            Target::Master(sentinels) => tokio::select! {
                error = connection.until_lost() => error,
                () = sentinels.until_master_changes(server) => failed("the Sentinels have another master"),
            },
        };
        tracing::warn!(%server, %error, "lost the connection to Redis; reconnecting");
        self.state.send_replace(State::Connecting);
        if self.last_heartbeat == 0 || since.elapsed() > OUTAGES_APART {
            self.last_heartbeat = connection.clock().last_heartbeat();
        }
        // Ends the lease of all that was read over it.
        drop(connection);
    }
}
