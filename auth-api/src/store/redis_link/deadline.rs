//! Deadlines of scripts.
//!
//! A request whose reply does not come in time is answered with 503. Redis, once it resumes, executes its script all the
//! same. So every script call has its deadline as the last argument, and a [`script_with_deadline`] changes nothing past
//! it. Deadlines are on Redis's own clock, which the heartbeat of each connection learns ([`RedisClock`]): replicas with
//! clocks that differ agree, and so do the nodes of a Cluster, each of which gets deadlines on its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use redis::{Arg, Cmd, Script};

use crate::store::lease::Moment;

/// A script that Redis executes before its deadline, or answers with an error.
pub fn script_with_deadline(body: &str) -> Script {
    Script::new(&[include_str!("../deadline.lua"), body].concat())
}

/// Estimate of a server's clock, kept by a connection: its offset from [`Moment`], in microseconds. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RedisClock(Arc<AtomicI64>);

impl RedisClock {
    /// Knows nothing yet: every deadline is long past.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }

    /// Learns from the server's `time`, in Unix microseconds, between these two instants. The estimate is never ahead of
    /// the server's clock by more than the time between them, and as a rule behind it by the shortest so far.
    pub(super) fn learn(&self, time: i64, sent: Moment, received: Moment) {
        let offsets = time.saturating_sub(received.as_micros())..=time.saturating_sub(sent.as_micros());
        if !offsets.contains(&self.0.load(Ordering::Relaxed)) {
            self.0.store(*offsets.start(), Ordering::Relaxed);
        }
    }

    /// The command with its deadline, if it calls a script: this long from now, in Unix milliseconds.
    pub(super) fn with_deadline<'a>(&self, cmd: &'a Cmd, within: Duration) -> Cow<'a, Cmd> {
        if cmd.args_iter().next() != Some(Arg::Simple(b"EVALSHA")) {
            return Cow::Borrowed(cmd);
        }
        let mut dated = cmd.clone();
        dated.arg(self.unix_millis(Moment::now().after(within)));
        Cow::Owned(dated)
    }

    fn unix_millis(&self, moment: Moment) -> i64 {
        self.0.load(Ordering::Relaxed).saturating_add(moment.as_micros()) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's time, in Unix microseconds, and an instant of this process.
    const TIME: i64 = 1_800_000_000_000_000;

    fn after(start: Moment, millis: u64) -> Moment {
        start.after(Duration::from_millis(millis))
    }

    #[test]
    fn a_deadline_is_never_later_than_the_server_is_waited_for() {
        let (clock, start) = (RedisClock::new(), Moment::now());
        assert!(clock.unix_millis(start) < 0, "nothing is known");
        // The server read its clock at some time within these 40 ms.
        clock.learn(TIME, start, after(start, 40));
        assert_eq!(clock.unix_millis(after(start, 40)), TIME / 1000);
        // A reply at once: its clock had been read at the beginning.
        clock.learn(TIME + 1_000_000, after(start, 1000), after(start, 1001));
        assert_eq!(clock.unix_millis(after(start, 1001)), TIME / 1000 + 1000);
        // A late reply says nothing better.
        clock.learn(TIME + 2_000_000, after(start, 2000), after(start, 2900));
        assert_eq!(clock.unix_millis(after(start, 2001)), TIME / 1000 + 2000);
    }

    #[test]
    fn a_server_clock_that_steps_is_followed_both_ways() {
        let (clock, start) = (RedisClock::new(), Moment::now());
        for step in [0, 60_000_000, -60_000_000] {
            clock.learn(TIME + step, start, after(start, 1));
            assert_eq!(clock.unix_millis(after(start, 1)), (TIME + step) / 1000);
        }
    }

    #[test]
    fn only_a_call_of_a_script_has_a_deadline() {
        let (clock, start) = (RedisClock::new(), Moment::now());
        clock.learn(TIME, start, start);
        let words = |cmd: &Cmd| clock.with_deadline(cmd, Duration::from_secs(2)).args_iter().count();
        assert_eq!(words(redis::cmd("EVALSHA").arg("sha").arg(1).arg("key").arg("argument")), 6);
        assert_eq!(words(redis::cmd("SCRIPT").arg("LOAD").arg("return 1")), 3);
        assert_eq!(words(redis::cmd("DEL").arg("key")), 2);
    }
}
