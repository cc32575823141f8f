//! `GET me`.

use std::time::Duration;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::deployment::Deployment;
use crate::harness::row::{Measure, Pair, Row, Sample, Side, Target, Unit};
use crate::harness::wrk::{self, Wrk};

/// On auth-api, without nginx.
pub const ITSELF: Row = Row {
    name: "me",
    what: "GET me on auth-api (1 M users, 100 k sessions, 10 k active) : minimal warp server, a response of the same size",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: Target::AtLeast(0.60),
        pair: |bench| pair(bench, &bench.large()?.stack()?.env().auth_api, bench.baseline_server()?.base()),
    },
};

/// Through nginx.
pub const THROUGH_NGINX: Row = Row {
    name: "me-nginx",
    what: "GET me through nginx : minimal warp server through the same nginx.conf",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: Target::AtLeast(0.90),
        pair: |bench| pair(bench, &bench.large()?.stack()?.env().base, bench.baseline_gateway()?),
    },
};

/// One client per core: a single one can't saturate the baseline server.
const THREADS: usize = 2;
const CONNECTIONS: usize = 64;

fn pair<'a>(bench: &'a Bench, candidate: &str, baseline: &str) -> Result<Pair<'a>, Error> {
    let candidate = client(bench, bench.large()?, candidate)?;
    // The baseline server gets the same requests.
    let baseline = Wrk { base: baseline.to_owned(), ..candidate.clone() };
    Ok(Pair { candidate: rate(candidate), baseline: rate(baseline) })
}

/// Returns a wrk that requests `me` of all active sessions from `base`, an address of `deployment`.
pub(super) fn client(bench: &Bench, deployment: &Deployment, base: &str) -> Result<Wrk, Error> {
    let requests = bench.requests(&format!("me-{}", deployment.size.users));
    let tokens = deployment.access_tokens()?;
    wrk::write(&requests, tokens.iter().map(|access| wrk::get("/api/user/me/", access)))?;
    let wrk = Wrk { base: base.to_owned(), requests, threads: THREADS, connections: CONNECTIONS, pause_millis: 0 };
    warm_up(&wrk, tokens.len())?;
    Ok(wrk)
}

/// Requests every active session once, so that a warm service is measured. Each run starts with the first sessions, which
/// are cached by then, and so gets further than the one before.
fn warm_up(wrk: &Wrk, tokens: usize) -> Result<(), Error> {
    // Threads are not equally fast.
    let enough = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) * 1.5;
    for _ in 0..RUNS_MAX {
        if wrk.run(RUN)?.per_second * RUN.as_secs_f64() > enough {
            break;
        }
    }
    Ok(())
}

const RUN: Duration = Duration::from_secs(1);
const RUNS_MAX: usize = 20;

/// Returns a side that measures the rate of wrk.
pub(super) fn rate<'a>(wrk: Wrk) -> Side<'a> {
    Box::new(move |time| {
        let report = wrk.run(time)?;
        Ok(Sample { value: report.per_second, refused: report.refused })
    })
}
