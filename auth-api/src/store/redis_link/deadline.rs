//! Deadlines of scripts, and the outages that lose their replies.
//!
//! A request whose reply does not come in time is answered with 503. Redis, once it resumes, executes its script all the
//! same. So every script call has its deadline as the last argument, and a [`script_with_deadline`] changes nothing past
//! it. Deadlines are on Redis's own clock, which the heartbeat of each connection learns ([`RedisClock`]): replicas with
//! clocks that differ agree, and so do the nodes of a Cluster, each of which gets deadlines on its own.
//!
//! A script that was executed in time may still have lost its reply, to a stall or a crash before it was sent. So a call
//! also says when the last outage was: between the last heartbeat of the connection that was lost and the first of the next.

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

/// A server's clock as a connection knows it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct RedisClock(Arc<Known>);

/// Times of the server are in Unix microseconds.
#[derive(Debug)]
struct Known {
    /// Estimate of how far its clock is from [`Moment`], in microseconds.
    offset: AtomicI64,
    /// Its time at the last heartbeat.
    heard: AtomicI64,
    /// Its time at the last heartbeat of the connection before; 0 for none.
    lost: i64,
    /// Its time at the first heartbeat of this one.
    back: AtomicI64,
}

impl RedisClock {
    /// Knows nothing yet, so that every deadline is long past, but when the connection before was last [`heard`].
    ///
    /// [`heard`]: Self::heard
    pub(super) fn new(lost: i64) -> Self {
        let [offset, heard, back] = [i64::MIN, 0, 0].map(AtomicI64::new);
        Self(Arc::new(Known { offset, heard, lost, back }))
    }

    /// The server's time at the last heartbeat: replies to all that it had executed before were received.
    pub(super) fn heard(&self) -> i64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Learns from the server's `time`, in Unix microseconds, between these two instants. The estimate is never ahead of
    /// the server's clock by more than the time between them, and as a rule behind it by the shortest so far.
    pub(super) fn learn(&self, time: i64, sent: Moment, received: Moment) {
        let offsets = time.saturating_sub(received.as_micros())..=time.saturating_sub(sent.as_micros());
        if !offsets.contains(&self.0.offset.load(Ordering::Relaxed)) {
            self.0.offset.store(*offsets.start(), Ordering::Relaxed);
        }
        if self.0.heard.swap(time, Ordering::Relaxed) == 0 {
            self.0.back.store(time, Ordering::Relaxed);
        }
    }

    /// The command, with three arguments more if it calls a script: when the last outage began and when it ended, in Unix
    /// seconds, and the deadline, this long from now, in Unix milliseconds.
    pub(super) fn with_deadline<'a>(&self, cmd: &'a Cmd, within: Duration) -> Cow<'a, Cmd> {
        if cmd.args_iter().next() != Some(Arg::Simple(b"EVALSHA")) {
            return Cow::Borrowed(cmd);
        }
        let mut call = cmd.clone();
        let outage = [self.0.lost, if self.0.lost == 0 { 0 } else { self.0.back.load(Ordering::Relaxed) }];
        call.arg(&outage.map(|time| time / 1_000_000)).arg(self.unix_millis(Moment::now().after(within)));
        Cow::Owned(call)
    }

    fn unix_millis(&self, moment: Moment) -> i64 {
        self.0.offset.load(Ordering::Relaxed).saturating_add(moment.as_micros()) / 1000
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
        let (clock, start) = (RedisClock::new(0), Moment::now());
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
        let (clock, start) = (RedisClock::new(0), Moment::now());
        for step in [0, 60_000_000, -60_000_000] {
            clock.learn(TIME + step, start, after(start, 1));
            assert_eq!(clock.unix_millis(after(start, 1)), (TIME + step) / 1000);
        }
    }

    /// What a call of a script gets more.
    fn added(clock: &RedisClock) -> Vec<i64> {
        let cmd = redis::cmd("EVALSHA").arg("sha").arg(1).arg("key").arg("argument").to_owned();
        let call = clock.with_deadline(&cmd, Duration::from_secs(2)).into_owned();
        let number = |arg| if let Arg::Simple(text) = arg { str::from_utf8(text).unwrap().parse().unwrap() } else { 0 };
        call.args_iter().skip(5).map(number).collect()
    }

    #[test]
    fn a_call_of_a_script_has_the_last_outage_and_a_deadline_and_no_other_command_has() {
        const SECONDS: i64 = TIME / 1_000_000;
        let (clock, start) = (RedisClock::new(0), Moment::now());
        clock.learn(TIME, start, start);
        assert_eq!(added(&clock)[..2], [0, 0], "it is the first connection");
        clock.learn(TIME + 500_000, start, start);
        let next = RedisClock::new(clock.heard());
        for seconds in [20, 21] {
            next.learn(TIME + seconds * 1_000_000, start, start);
            assert_eq!(added(&next)[..2], [SECONDS, SECONDS + 20]);
        }
        assert!(added(&next)[2] >= (SECONDS + 23) * 1000);
        for cmd in [redis::cmd("SCRIPT").arg("LOAD").arg("return 1"), redis::cmd("DEL").arg("key")] {
            assert!(matches!(clock.with_deadline(cmd, Duration::ZERO), Cow::Borrowed(_)));
        }
    }
}
