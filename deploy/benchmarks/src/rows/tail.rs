//! Tail latency of `me` while logins saturate the CPU.

use std::thread;
use std::time::Duration;

use super::{login, me};
use crate::error::Error;
use crate::harness::Bench;
use crate::harness::row::{Measure, Pair, Row, Sample, Target, Unit};
use crate::harness::wrk::Wrk;

/// Both through nginx.
pub const TAIL: Row = Row {
    name: "p99",
    what: "p99 of GET me through nginx while logins saturate the machine : without logins",
    measure: Measure::Ratio { unit: Unit::Milliseconds, target: Target::AtMost(3.0), pair },
};

/// Pause of a `me` client, so that `me` alone does not saturate the CPU.
const PAUSE_MILLIS: u32 = 40;

/// Logins start this long before the first `me` and end this long after the last.
const AROUND: Duration = Duration::from_secs(1);

fn pair(bench: &Bench) -> Result<Pair<'_>, Error> {
    let large = bench.large()?;
    let me = me::client(bench, large, &large.stack()?.env().base)?;
    let me = Wrk { threads: 1, pause_millis: PAUSE_MILLIS, ..me };
    let logins = login::client(bench, large)?;
    let alone = me.clone();
    Ok(Pair {
        candidate: Box::new(move |time| {
            let load = logins.start(time + AROUND * 2)?;
            thread::sleep(AROUND);
            let mut sample = p99(&me, time)?;
            sample.refused += load.report()?.refused;
            Ok(sample)
        }),
        baseline: Box::new(move |time| p99(&alone, time)),
    })
}

fn p99(wrk: &Wrk, time: Duration) -> Result<Sample, Error> {
    let report = wrk.run(time)?;
    Ok(Sample { value: report.p99_millis, refused: report.refused })
}
