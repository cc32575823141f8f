//! The parts of the stack, in the order they start.

use std::fmt;
use std::time::Duration;

use rustix::process::Signal;

/// One of the stack's five servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The users.
    Postgres,
    /// The sessions.
    Redis,
    /// The pictures.
    MediaServer,
    /// The API.
    AuthApi,
    /// The front.
    Nginx,
}

impl Part {
    /// All of them, in the order they start; they stop in the reverse one.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Redis, Self::MediaServer, Self::AuthApi, Self::Nginx];

    /// Its name, as in `logs/NAME.log`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::MediaServer => "media-server",
            Self::AuthApi => "auth-api",
            Self::Nginx => "nginx",
        }
    }

    /// The name of its processes.
    pub(crate) fn process_name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Postgres | Self::MediaServer | Self::AuthApi | Self::Nginx => self.name(),
        }
    }

    /// The signal that asks it to end what it is doing and to exit.
    pub(crate) fn stop_signal(self) -> Signal {
        match self {
            // "Fast": open transactions are rolled back, nobody is waited for.
            Self::Postgres => Signal::INT,
            Self::Redis | Self::MediaServer | Self::AuthApi => Signal::TERM,
            // Graceful: answers what it has accepted, up to `worker_shutdown_timeout`.
            Self::Nginx => Signal::QUIT,
        }
    }

    /// How long it may take to stop before it is killed.
    pub(crate) fn stop_within(self) -> Duration {
        match self {
            Self::Postgres => Duration::from_secs(30),
            Self::Redis => Duration::from_secs(10),
            // They promise 20 s.
            Self::MediaServer | Self::AuthApi => Duration::from_secs(25),
            Self::Nginx => Duration::from_secs(15),
        }
    }

    /// The signal the kernel sends it when the runner dies, whatever the runner dies of. Postgres and nginx get one that
    /// lets them end their own children first.
    pub(crate) fn orphan_signal(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::Nginx => "TERM",
            Self::Redis | Self::MediaServer | Self::AuthApi => "KILL",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
