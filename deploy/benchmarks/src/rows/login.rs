//! `POST login`: a password for a session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use auth_api::hashing::HashingConfig;
use rustix::process::nice;
use tokio::time::Instant;

use super::me::rate;
use crate::bench::Bench;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::population::{PASSWORD, credentials};
use crate::row::{Measure, Pair, Reach, Row, Sample, Unit};
use crate::wrk::{self, Wrk};

/// Through nginx.
pub const LOGIN: Row = Row {
    name: "login",
    what: "POST login through nginx, 16 connections : Argon2id hashes of the argon2 crate on as many threads",
    measure: Measure::Ratio { unit: Unit::PerSecond, reach: Reach::AtLeast(0.95), pair },
};

const CONNECTIONS: usize = 16;

/// People who sign in, in turn.
const PEOPLE: u32 = 4096;

fn pair(bench: &Bench) -> Result<Pair<'_>, Error> {
    let large = bench.large()?;
    let hashing = &large.config.hashing;
    Ok(Pair { ours: rate(client(bench, large)?), limit: Box::new(|time| hashes(hashing, time)) })
}

/// wrk signing people in through nginx.
pub(super) fn client(bench: &Bench, deployment: &Deployment) -> Result<Wrk, Error> {
    let requests = bench.requests(&format!("login-{}", deployment.size.users));
    let people = deployment.size.spread(PEOPLE.min(deployment.size.users));
    wrk::write(&requests, people.map(|user| wrk::post("/api/user/login/", &credentials(user))))?;
    let base = deployment.stack()?.env().base.clone();
    Ok(Wrk { base, requests, threads: 1, connections: CONNECTIONS, pause_millis: 0 })
}

/// The niceness of auth-api's hashing threads (`shared::workers`): what else the machine does must cost both the same.
const NICENESS: i32 = 10;

/// The hashes a second that as many threads compute as auth-api has, each in memory that it keeps.
fn hashes(config: &HashingConfig, time: Duration) -> Result<Sample, Error> {
    let is_over = AtomicBool::new(false);
    let started = Instant::now();
    let counted = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..config.workers.threads).map(|_| scope.spawn(|| hash_until(config, &is_over))).collect();
        thread::sleep(time);
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(argon2::Error::AlgorithmInvalid))).collect()
    });
    let counted: Result<Vec<u32>, argon2::Error> = counted;
    let counted: u32 = counted.map_err(Error::client)?.into_iter().sum();
    // The last ones end after `time`: they count, and so does their time.
    Ok(Sample { value: f64::from(counted) / started.elapsed().as_secs_f64(), refused: 0 })
}

fn hash_until(config: &HashingConfig, is_over: &AtomicBool) -> Result<u32, argon2::Error> {
    // Where it may not, everything else is as nice as we are.
    let _ = nice(NICENESS);
    let params = Params::new(config.memory_kib, config.passes, config.lanes, None)?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), b"sixteen bytes of", &mut out, &mut memory)?;
        count += 1;
    }
    Ok(count)
}
