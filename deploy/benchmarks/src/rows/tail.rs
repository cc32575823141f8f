//! How long the slowest of a hundred wait for `me` while the machine is full of logins.

use std::thread;
use std::time::Duration;

use super::{login, me};
use crate::bench::Bench;
use crate::error::Error;
use crate::row::{Measure, Pair, Reach, Row, Sample, Unit};
use crate::wrk::Wrk;

/// Through nginx, both.
pub const TAIL: Row = Row {
    name: "p99",
    what: "p99 of GET me through nginx while logins saturate the machine : without logins",
    measure: Measure::Ratio { unit: Unit::Milliseconds, reach: Reach::AtMost(3.0), pair },
};

/// `me` asks for less than the machine has: full of `me` alone, it would have no time for logins.
const PAUSE_MILLIS: u32 = 40;

/// Logins come before the first `me` and go after the last.
const AROUND: Duration = Duration::from_secs(1);

fn pair(bench: &Bench) -> Result<Pair<'_>, Error> {
    let large = bench.large()?;
    let me = me::client(bench, large, &large.stack()?.env().base)?;
    let me = Wrk { threads: 1, pause_millis: PAUSE_MILLIS, ..me };
    let logins = login::client(bench, large)?;
    let alone = me.clone();
    Ok(Pair {
        ours: Box::new(move |time| {
            let beside = logins.start(time + AROUND * 2)?;
            thread::sleep(AROUND);
            let mut sample = p99(&me, time)?;
            sample.refused += beside.report()?.refused;
            Ok(sample)
        }),
        limit: Box::new(move |time| p99(&alone, time)),
    })
}

fn p99(wrk: &Wrk, time: Duration) -> Result<Sample, Error> {
    let report = wrk.run(time)?;
    Ok(Sample { value: report.p99_millis, refused: report.refused })
}
