//! Memory of the processes.

use std::thread;
use std::time::Duration;

use deploy::Service;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::deployment::Deployment;
use crate::harness::http_client::HttpClient;
use crate::harness::memory::{Resident, proportional_mb, resident};
use crate::harness::population::credentials;
use crate::harness::row::{Measure, Row, Sample};

/// auth-api after its start.
pub const AUTH_API_IDLE: Row = Row {
    name: "memory-auth-api",
    what: "resident memory of auth-api, idle after its start",
    measure: Measure::Memory { mb_max: 25.0, read: |bench| idle(bench, Service::AuthApi) },
};

/// media-server after its start.
pub const MEDIA_SERVER_IDLE: Row = Row {
    name: "memory-media-server",
    what: "resident memory of media-server, idle after its start",
    measure: Measure::Memory { mb_max: 20.0, read: |bench| idle(bench, Service::MediaServer) },
};

/// auth-api with many concurrent logins.
pub const LOGINS_AT_ONCE: Row = Row {
    name: "memory-logins",
    what: "peak resident memory of auth-api: some small bursts of logins, then 1,000 at once",
    measure: Measure::Memory { mb_max: 120.0, read: logins_at_once },
};

/// Time after which a started process is idle.
const SETTLE: Duration = Duration::from_secs(3);

const LOGINS: u32 = 1000;

/// Small bursts first: memory that the allocator does not return after them adds to the peak.
const SMALL_BURSTS: usize = 4;
const SMALL_BURST: u32 = 16;

fn idle(bench: &Bench, service: Service) -> Result<Sample, Error> {
    let stack = bench.large()?.stack()?;
    stack.restart(service)?;
    thread::sleep(SETTLE);
    Ok(Sample { value: main_process(bench.large()?, service)?.now_mb, refused: 0 })
}

fn logins_at_once(bench: &Bench) -> Result<Sample, Error> {
    let large = bench.large()?;
    large.stack()?.restart(Service::AuthApi)?;
    let mut refused = 0;
    for _ in 0..SMALL_BURSTS {
        refused += bench.runtime.block_on(sign_in_at_once(large, SMALL_BURST))?;
        thread::sleep(SETTLE);
    }
    refused += bench.runtime.block_on(sign_in_at_once(large, LOGINS))?;
    Ok(Sample { value: main_process(large, Service::AuthApi)?.peak_mb, refused })
}

/// Signs in concurrently, each on its own connection, all connected before the first login. Returns the number refused.
async fn sign_in_at_once(deployment: &Deployment, count: u32) -> Result<u64, Error> {
    let base = &deployment.stack()?.env().auth_api;
    let mut clients = Vec::new();
    for user in deployment.size.spread(count) {
        clients.push((HttpClient::connect(base).await?, credentials(user)));
    }
    let mut logins = JoinSet::new();
    for (mut client, credentials) in clients {
        logins.spawn(async move {
            let response = client.post("/api/user/login/", credentials).await;
            response.is_ok_and(|(status, _)| status.is_success())
        });
    }
    let answered = logins.join_all().await;
    Ok(answered.into_iter().map(|is_signed_in| u64::from(!is_signed_in)).sum())
}

fn main_process(deployment: &Deployment, service: Service) -> Result<Resident, Error> {
    let pid = deployment.stack()?.pids(service)?.first().copied();
    resident(pid.ok_or(deploy::Error::NotRunning(service.name()))?)
}

/// Returns each service with the memory of its processes now (PSS) and the peak of its largest process, for information.
pub fn processes(deployment: &Deployment) -> Result<Vec<(Service, f64, f64)>, Error> {
    let stack = deployment.stack()?;
    let of_service = |service: Service| {
        let pids = stack.pids(service)?;
        // A process may end between listing and reading.
        let peaks = pids.iter().filter_map(|pid| resident(*pid).ok()).map(|resident| resident.peak_mb);
        Ok((service, proportional_mb(&pids)?, peaks.fold(0.0, f64::max)))
    };
    Service::ALL.into_iter().map(of_service).collect()
}
