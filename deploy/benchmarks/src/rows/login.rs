//! `POST login`.

use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use auth_api::hashing::HashingConfig;
use shared::worker_pool::Priority;

use super::me::rate;
use crate::error::Error;
use crate::harness::Bench;
use crate::harness::deployment::Deployment;
use crate::harness::population::{PASSWORD, credentials};
use crate::harness::row::{Measure, Pair, Row, Sample, Target, Unit};
use crate::harness::threads;
use crate::harness::wrk::{self, Wrk};

/// Through nginx.
pub const LOGIN: Row = Row {
    name: "login",
    what: "POST login through nginx, 16 connections : Argon2id hashes of the argon2 crate on as many threads",
    measure: Measure::Ratio { unit: Unit::PerSecond, target: Target::AtLeast(0.95), pair },
};

const CONNECTIONS: usize = 16;

/// Users that sign in, in turn.
const USERS: u32 = 4096;

fn pair(bench: &Bench) -> Result<Pair<'_>, Error> {
    let large = bench.large()?;
    let hashing = &large.config.hashing;
    Ok(Pair { candidate: rate(client(bench, large)?), baseline: Box::new(|time| hashes(hashing, time)) })
}

/// Returns a wrk that signs users in through nginx.
pub(super) fn client(bench: &Bench, deployment: &Deployment) -> Result<Wrk, Error> {
    let requests = bench.requests(&format!("login-{}", deployment.size.users));
    let users = deployment.size.spread(USERS.min(deployment.size.users));
    wrk::write(&requests, users.map(|user| wrk::post("/api/user/login/", &credentials(user))))?;
    let base = deployment.stack()?.env().base.clone();
    Ok(Wrk { base, requests, threads: 1, connections: CONNECTIONS, pause_millis: 0 })
}

/// Returns Argon2id hashes per second on as many threads as auth-api has, each reusing its memory.
fn hashes(config: &HashingConfig, time: Duration) -> Result<Sample, Error> {
    threads::rate(config.workers.threads, Priority::Idle, time, || {
        let params = Params::new(config.memory_kib, config.passes, config.lanes, None).map_err(Error::client)?;
        let mut memory = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        Ok(move || {
            let (password, salt) = (PASSWORD.as_bytes(), b"sixteen bytes of");
            argon2.hash_password_into_with_memory(password, salt, &mut out, &mut memory).map_err(Error::client)
        })
    })
}
