//! `GET me`: who is this?

use std::time::Duration;

use crate::bench::Bench;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::row::{Measure, Pair, Reach, Row, Sample, Side, Unit};
use crate::wrk::{self, Wrk};

/// auth-api itself.
pub const ITSELF: Row = Row {
    name: "me",
    what: "GET me on auth-api (1 M users, 100 k sessions, 10 k in play) : bare warp, an answer of the same size",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: Reach::AtLeast(0.60),
        pair: |bench| pair(bench, &bench.large()?.stack()?.env().auth_api, bench.bare()?.base()),
    },
};

/// Through nginx.
pub const THROUGH_NGINX: Row = Row {
    name: "me-nginx",
    what: "GET me through nginx : bare warp through the same nginx.conf",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: Reach::AtLeast(0.90),
        pair: |bench| pair(bench, &bench.large()?.stack()?.env().base, bench.bare_front()?),
    },
};

/// Both cores have a client: one could not keep the bare server busy.
const THREADS: usize = 2;
const CONNECTIONS: usize = 64;

fn pair<'a>(bench: &'a Bench, ours: &str, limit: &str) -> Result<Pair<'a>, Error> {
    let ours = client(bench, bench.large()?, ours)?;
    // The bare server is sent the same requests.
    let limit = Wrk { base: limit.to_owned(), ..ours.clone() };
    Ok(Pair { ours: rate(ours), limit: rate(limit) })
}

/// wrk asking `base`, which leads to `deployment`, for everybody in play.
pub(super) fn client(bench: &Bench, deployment: &Deployment, base: &str) -> Result<Wrk, Error> {
    let requests = bench.requests(&format!("me-{}", deployment.size.users));
    let tokens = deployment.access_tokens()?;
    wrk::write(&requests, tokens.iter().map(|access| wrk::get("/api/user/me/", access)))?;
    let wrk = Wrk { base: base.to_owned(), requests, threads: THREADS, connections: CONNECTIONS, pause_millis: 0 };
    ask_for_each(&wrk, tokens.len())?;
    Ok(wrk)
}

/// What is measured is a service that has been running for a while: everybody in play has been asked for before. Each run
/// begins with the first ones, and so gets further than the one before.
fn ask_for_each(wrk: &Wrk, tokens: usize) -> Result<(), Error> {
    // Threads do not go equally fast.
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

/// A side that is wrk's rate.
pub(super) fn rate<'a>(wrk: Wrk) -> Side<'a> {
    Box::new(move |time| {
        let report = wrk.run(time)?;
        Ok(Sample { value: report.per_second, refused: report.refused })
    })
}
