//! A link to one server: a connection that all requests share, and that one task makes anew when it is lost.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::address::Server;
use super::connection::{Connection, Dialer, failed};
use super::deadline::RedisClock;
use super::push::{Changed, tell};
use super::sentinel::Sentinels;
use crate::store::lease::Lease;

/// The pauses between attempts to connect: the first, and twice the one before up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// Outages that are not so far apart are one: clients may not have retried in between.
const OUTAGES_APART: Duration = Duration::from_secs(10);

/// How long a request waits for the first attempt to connect, at the start and after a loss. Past it, and from a failed
/// attempt on, requests are told at once.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Cheap to clone. When the last one is dropped, the connection is closed.
#[derive(Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
}

enum State {
    Connecting,
    Up(Lent),
    Down,
}

/// A connection in use.
#[derive(Clone)]
pub(super) struct Lent {
    /// Where commands go.
    pub(super) requests: MultiplexedConnection,
    /// Holds while changes of what is read over it are told.
    pub(super) lease: Lease,
    clock: RedisClock,
    script_deadline: Duration,
}

impl Lent {
    /// The reply to a command.
    pub(super) async fn send(mut self, cmd: &Cmd) -> RedisResult<Value> {
        let cmd = self.with_deadline(cmd);
        self.requests.send_packed_command(&cmd).await
    }

    /// The command, a script's call with its deadline on this server's clock.
    pub(super) fn with_deadline<'a>(&self, cmd: &'a Cmd) -> Cow<'a, Cmd> {
        self.clock.with_deadline(cmd, self.script_deadline)
    }
}

/// Which server it is.
pub(super) enum Target {
    /// Always this one.
    Server(Server),
    /// Whom the Sentinels say.
    Master(Box<Sentinels>),
}

impl Link {
    /// Starts to connect.
    pub(super) fn start(target: Target, dialer: Dialer, changed: Changed) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        tokio::spawn(Keeper { target, dialer, changed, state: sender, last_heard: 0 }.keep());
        Self { state }
    }

    /// Where commands go; an error at once while there is no connection.
    pub(super) async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        Ok(self.lent().await?.requests)
    }

    /// The connection; an error at once while there is none.
    pub(super) async fn lent(&self) -> RedisResult<Lent> {
        if let Some(known) = self.now() {
            return known;
        }
        let mut state = self.state.clone();
        // That the keeper is gone shows in the state too.
        let _ = timeout(PATIENCE, state.wait_for(|state| !matches!(state, State::Connecting))).await;
        self.now().unwrap_or_else(|| Err(away()))
    }

    /// The connection, if that is known.
    pub(super) fn now(&self) -> Option<RedisResult<Lent>> {
        match &*self.state.borrow() {
            State::Up(lent) => Some(Ok(lent.clone())),
            State::Down => Some(Err(away())),
            State::Connecting => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }
}

pub(super) fn away() -> RedisError {
    failed("there is no connection at present")
}

/// The task behind a link.
struct Keeper {
    target: Target,
    dialer: Dialer,
    changed: Changed,
    state: watch::Sender<State>,
    /// When a connection was last heard, by the server's clock; see [`RedisClock::heard`].
    last_heard: i64,
}

impl Keeper {
    async fn keep(mut self) {
        let state = self.state.clone();
        tokio::select! {
            () = state.closed() => (),
            never = self.connect_for_ever() => match never {},
        }
    }

    async fn connect_for_ever(&mut self) -> Infallible {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            match self.connect().await {
                Ok((server, connection)) => {
                    tracing::info!(%server, "connected to Redis");
                    self.serve(&server, connection).await;
                    if since.elapsed() > PAUSE_MAX {
                        pause = Duration::ZERO;
                        continue;
                    }
                    // One that lets us in and hangs up at once is treated as one that does not let us in.
                }
                // Said once, not at each attempt.
                Err(error) if pause.is_zero() => tracing::warn!(%error, "no connection to Redis; going on to try"),
                Err(error) => tracing::debug!(%error, "still no connection to Redis"),
            }
            self.state.send_replace(State::Down);
            pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            sleep(pause).await;
        }
    }

    async fn connect(&mut self) -> RedisResult<(Server, Connection)> {
        let server = match &mut self.target {
            Target::Server(server) => server.clone(),
            Target::Master(sentinels) => sentinels.master().await?,
        };
        let changed = Arc::clone(&self.changed);
        let mut connection = self.dialer.dial(&server, move |push| tell(push, &changed)).await?;
        connection.track(self.last_heard).await?;
        Ok((server, connection))
    }

    /// Lends the connection out until it is lost.
    async fn serve(&mut self, server: &Server, mut connection: Connection) {
        let since = Instant::now();
        self.state.send_replace(State::Up(Lent {
            requests: connection.requests(),
            lease: connection.lease(),
            clock: connection.clock(),
            script_deadline: self.dialer.script_deadline,
        }));
        let error = match &mut self.target {
            Target::Server(_) => connection.until_lost().await,
            Target::Master(sentinels) => tokio::select! {
                error = connection.until_lost() => error,
                () = sentinels.until_they_name_another_than(server) => failed("the Sentinels name another master"),
            },
        };
        tracing::warn!(%server, %error, "lost the connection to Redis");
        self.state.send_replace(State::Connecting);
        if self.last_heard == 0 || since.elapsed() > OUTAGES_APART {
            self.last_heard = connection.clock().heard();
        }
        // Nothing that was read over it is good any more.
        drop(connection);
    }
}
