//! What the processes hold.

use std::thread;
use std::time::Duration;

use deploy::Part;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::client::Client;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::memory::{Resident, proportional_mb, resident};
use crate::population::credentials;
use crate::row::{Measure, Row, Sample};

/// auth-api, just started.
pub const AUTH_API_IDLE: Row = Row {
    name: "memory-auth-api",
    what: "resident memory of auth-api, idle after its start",
    measure: Measure::Memory { mb_max: 25.0, read: |bench| idle(bench, Part::AuthApi) },
};

/// media-server, just started.
pub const MEDIA_SERVER_IDLE: Row = Row {
    name: "memory-media-server",
    what: "resident memory of media-server, idle after its start",
    measure: Measure::Memory { mb_max: 20.0, read: |bench| idle(bench, Part::MediaServer) },
};

/// auth-api under a crowd.
pub const LOGINS_AT_ONCE: Row = Row {
    name: "memory-logins",
    what: "most resident memory of auth-api: a few logins now and then, then 1,000 at once",
    measure: Measure::Memory { mb_max: 120.0, read: logins_at_once },
};

/// A process that has started is at rest after this time.
const SETTLED: Duration = Duration::from_secs(3);

const LOGINS: u32 = 1000;

/// As many crowds of a few come before. Memory is given back between them, and what an allocator keeps of that shows.
const SMALL_CROWDS: usize = 4;
const SMALL_CROWD: u32 = 16;

fn idle(bench: &Bench, part: Part) -> Result<Sample, Error> {
    let stack = bench.large()?.stack()?;
    stack.restart(part)?;
    thread::sleep(SETTLED);
    Ok(Sample { value: main_process(bench.large()?, part)?.now_mb, refused: 0 })
}

fn logins_at_once(bench: &Bench) -> Result<Sample, Error> {
    let large = bench.large()?;
    large.stack()?.restart(Part::AuthApi)?;
    let mut refused = 0;
    for _ in 0..SMALL_CROWDS {
        refused += bench.runtime.block_on(sign_in_at_once(large, SMALL_CROWD))?;
        thread::sleep(SETTLED);
    }
    refused += bench.runtime.block_on(sign_in_at_once(large, LOGINS))?;
    Ok(Sample { value: main_process(large, Part::AuthApi)?.peak_mb, refused })
}

/// Each on a connection of its own, all open before the first login is sent. Returns how many were refused.
async fn sign_in_at_once(deployment: &Deployment, count: u32) -> Result<u64, Error> {
    let base = &deployment.stack()?.env().auth_api;
    let mut clients = Vec::new();
    for user in deployment.size.spread(count) {
        clients.push((Client::connect(base).await?, credentials(user)));
    }
    let mut logins = JoinSet::new();
    for (mut client, credentials) in clients {
        logins.spawn(async move {
            let answer = client.post("/api/user/login/", credentials).await;
            answer.is_ok_and(|(status, _)| status.is_success())
        });
    }
    let answered = logins.join_all().await;
    Ok(answered.into_iter().map(|is_signed_in| u64::from(!is_signed_in)).sum())
}

fn main_process(deployment: &Deployment, part: Part) -> Result<Resident, Error> {
    let pid = deployment.stack()?.pids(part)?.first().copied();
    resident(pid.ok_or(deploy::Error::NotRunning(part))?)
}

/// Each part's name, what all of its processes hold now (what they share counted once), and the most that its largest
/// process has held: for information.
pub fn processes(deployment: &Deployment) -> Result<Vec<(Part, f64, f64)>, Error> {
    let stack = deployment.stack()?;
    let of_part = |part: Part| {
        let pids = stack.pids(part)?;
        // A process may end between the two looks.
        let peaks = pids.iter().filter_map(|pid| resident(*pid).ok()).map(|resident| resident.peak_mb);
        Ok((part, proportional_mb(&pids)?, peaks.fold(0.0, f64::max)))
    };
    Part::ALL.into_iter().map(of_part).collect()
}
