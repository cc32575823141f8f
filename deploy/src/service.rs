//! The services of the stack, in the order in which they start.

use std::fmt;
use std::time::Duration;

use rustix::process::Signal;

/// One of the stack's five services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Postgres,
    Redis,
    MediaServer,
    AuthApi,
    Nginx,
}

impl Service {
    /// All services in the order in which they start; they stop in reverse.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Redis, Self::MediaServer, Self::AuthApi, Self::Nginx];

    /// Returns the name, as in `logs/NAME.log`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::MediaServer => "media-server",
            Self::AuthApi => "auth-api",
            Self::Nginx => "nginx",
        }
    }

    /// Returns the name of its processes (`comm`).
    pub(crate) fn process_name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Postgres | Self::MediaServer | Self::AuthApi | Self::Nginx => self.name(),
        }
    }

    /// Returns the signal of a graceful shutdown.
    pub(crate) fn stop_signal(self) -> Signal {
        match self {
            // Fast shutdown: rolls back open transactions, does not wait for clients.
            Self::Postgres => Signal::INT,
            Self::Redis | Self::MediaServer | Self::AuthApi => Signal::TERM,
            // Graceful: completes accepted requests, up to `worker_shutdown_timeout`.
            Self::Nginx => Signal::QUIT,
        }
    }

    /// Returns the timeout of a graceful shutdown, after which the service is killed.
    pub(crate) fn stop_timeout(self) -> Duration {
        match self {
            Self::Postgres => Duration::from_secs(30),
            Self::Redis => Duration::from_secs(10),
            // They promise 20 s.
            Self::MediaServer | Self::AuthApi => Duration::from_secs(25),
            Self::Nginx => Duration::from_secs(15),
        }
    }

    /// Returns the signal that the kernel sends when the runner dies. Postgres and nginx get one on which they end their own
    /// children first.
    pub(crate) fn orphan_signal(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::Nginx => "TERM",
            Self::Redis | Self::MediaServer | Self::AuthApi => "KILL",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
