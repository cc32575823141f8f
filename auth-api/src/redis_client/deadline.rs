//! Deadlines of scripts, and the outages that lose their replies.
//!
//! A request whose reply does not arrive in time is answered with 503. Redis, once it resumes, still executes its script.
//! So every script call has a deadline as its last argument, and a [`script_with_deadline`] changes nothing past it.
//! Deadlines are on the server's clock, estimated from the heartbeats of each connection ([`RedisClock`]), so that replicas
//! with different clocks agree.
//!
//! A script that was executed in time may still have lost its reply, to a stall or a crash. So a call also carries the last
//! outage: from the last heartbeat of the lost connection to the first of the next.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redis::{Arg, Cmd, Script};
use tokio::time::Instant;

/// A script that changes nothing past its deadline, and then fails.
pub fn script_with_deadline(body: &str) -> Script {
    Script::new(&[include_str!("deadline.lua"), body].concat())
}

/// Estimate of a server's clock, from the heartbeats of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RedisClock(Arc<State>);

/// The server's times are in Unix microseconds.
#[derive(Debug)]
struct State {
    created: Instant,
    /// Estimate of the server's time at `created`.
    server_created: AtomicI64,
    last_heartbeat: AtomicI64,
    /// 0 if there was no earlier connection.
    last_heartbeat_before: i64,
    first_heartbeat: AtomicI64,
}

impl RedisClock {
    /// An unknown clock: every deadline has passed. `last_heartbeat_before` is that of the connection before, or 0.
    pub(super) fn new(last_heartbeat_before: i64) -> Self {
        let [server_created, last_heartbeat, first_heartbeat] = [i64::MIN, 0, 0].map(AtomicI64::new);
        let created = Instant::now();
        Self(Arc::new(State { created, server_created, last_heartbeat, last_heartbeat_before, first_heartbeat }))
    }

    /// The server's time at the last heartbeat: replies to all that it had executed before have arrived.
    pub(super) fn last_heartbeat(&self) -> i64 {
        self.0.last_heartbeat.load(Ordering::Relaxed)
    }

    /// Updates the estimate from the server's `time`, in Unix microseconds, between the two instants. It is never ahead of
    /// the server's clock by more than the time between them, and as a rule behind it by the shortest so far.
    pub(super) fn update(&self, time: i64, sent: Instant, received: Instant) {
        let candidates = time.saturating_sub(self.micros(received))..=time.saturating_sub(self.micros(sent));
        if !candidates.contains(&self.0.server_created.load(Ordering::Relaxed)) {
            self.0.server_created.store(*candidates.start(), Ordering::Relaxed);
        }
        if self.0.last_heartbeat.swap(time, Ordering::Relaxed) == 0 {
            self.0.first_heartbeat.store(time, Ordering::Relaxed);
        }
    }

    /// Microseconds since `created`.
    fn micros(&self, instant: Instant) -> i64 {
        i64::try_from(instant.saturating_duration_since(self.0.created).as_micros()).unwrap_or(i64::MAX)
    }

    /// Returns the command; a script call with three more arguments: start and end of the last outage, in Unix seconds, and
    /// the deadline, `within` from now, in Unix milliseconds.
    pub(super) fn with_deadline<'a>(&self, cmd: &'a Cmd, within: Duration) -> Cow<'a, Cmd> {
        if cmd.args_iter().next() != Some(Arg::Simple(b"EVALSHA")) {
            return Cow::Borrowed(cmd);
        }
        let mut call = cmd.clone();
        let outage = match self.0.last_heartbeat_before {
            0 => [0, 0],
            start => [start, self.0.first_heartbeat.load(Ordering::Relaxed)],
        };
        call.arg(&outage.map(|time| time / 1_000_000)).arg(self.unix_millis(Instant::now() + within));
        Cow::Owned(call)
    }

    fn unix_millis(&self, instant: Instant) -> i64 {
        self.0.server_created.load(Ordering::Relaxed).saturating_add(self.micros(instant)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's time, in Unix microseconds.
    const TIME: i64 = 1_800_000_000_000_000;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn the_estimate_is_within_the_shortest_round_trip() {
        let (clock, start) = (RedisClock::new(0), Instant::now());
        assert!(clock.unix_millis(start) < 0, "no heartbeat yet");
        // The server read its clock at some time within these 40 ms.
        clock.update(TIME, start, after(start, 40));
        assert_eq!(clock.unix_millis(after(start, 40)), TIME / 1000);
        // A fast reply: the server had read its clock at the beginning.
        clock.update(TIME + 1_000_000, after(start, 1000), after(start, 1001));
        assert_eq!(clock.unix_millis(after(start, 1001)), TIME / 1000 + 1000);
        // A slow reply does not improve the estimate.
        clock.update(TIME + 2_000_000, after(start, 2000), after(start, 2900));
        assert_eq!(clock.unix_millis(after(start, 2001)), TIME / 1000 + 2000);
    }

    #[test]
    fn the_estimate_follows_a_clock_step_both_ways() {
        let (clock, start) = (RedisClock::new(0), Instant::now());
        for step in [0, 60_000_000, -60_000_000] {
            clock.update(TIME + step, start, after(start, 1));
            assert_eq!(clock.unix_millis(after(start, 1)), (TIME + step) / 1000);
        }
    }

    /// The arguments added to a script call.
    fn added(clock: &RedisClock) -> Vec<i64> {
        let cmd = redis::cmd("EVALSHA").arg("sha").arg(1).arg("key").arg("argument").to_owned();
        let call = clock.with_deadline(&cmd, Duration::from_secs(2)).into_owned();
        let number = |arg| if let Arg::Simple(text) = arg { str::from_utf8(text).unwrap().parse().unwrap() } else { 0 };
        call.args_iter().skip(5).map(number).collect()
    }

    #[test]
    fn only_script_calls_get_the_last_outage_and_a_deadline() {
        const SECONDS: i64 = TIME / 1_000_000;
        let (clock, start) = (RedisClock::new(0), Instant::now());
        clock.update(TIME, start, start);
        assert_eq!(added(&clock)[..2], [0, 0], "first connection");
        clock.update(TIME + 500_000, start, start);
        let next = RedisClock::new(clock.last_heartbeat());
        for seconds in [20, 21] {
            next.update(TIME + seconds * 1_000_000, start, start);
            assert_eq!(added(&next)[..2], [SECONDS, SECONDS + 20]);
        }
        assert!(added(&next)[2] >= (SECONDS + 23) * 1000);
        for cmd in [redis::cmd("SCRIPT").arg("LOAD").arg("return 1"), redis::cmd("DEL").arg("key")] {
            assert!(matches!(clock.with_deadline(cmd, Duration::ZERO), Cow::Borrowed(_)));
        }
    }
}
