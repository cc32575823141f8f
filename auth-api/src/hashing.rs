//! Argon2id (RFC 9106) on bounded threads of its own (see [`shared::workers`]).
//!
//! A hash takes tens of milliseconds of one core and `ARGON2_MEMORY_KIB` of memory, which a thread keeps from one hash to
//! the next: that is a tenth faster than to allocate it each time.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use shared::random::Random;
use shared::workers::{Overload, Workers, WorkersConfig};

use crate::domain::Password;
use crate::error::Error;

/// What a hash costs, and how many may wait for theirs.
#[derive(Clone, Debug)]
pub struct HashingConfig {
    /// Memory of one hash, in KiB (`m`).
    pub memory_kib: u32,
    /// Passes over it (`t`).
    pub passes: u32,
    /// Lanes (`p`).
    pub lanes: u32,
    /// Hashes computed at once, and so memory and cores used at most.
    pub workers: WorkersConfig,
}

/// Whether a password is the one on file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is, and its hash has the parameters of today.
    Right,
    /// It is, and its hash is weaker than today's: hash it anew.
    RightButWeak,
    /// It is not.
    Wrong,
}

/// The hashing threads. Cheap to clone; they end with the last clone.
#[derive(Clone, Debug)]
pub struct Hashing {
    workers: Workers<Worker>,
    /// A hash of nobody's password with the parameters of today: what an unknown account is checked against.
    dummy: Arc<str>,
    random: Random,
}

/// A block of more than this is a mapping of its own whatever glibc has seen before, given back whole when it is freed. A
/// smaller one, once freed, is what glibc takes for usual: it would carve the next ones out of its heaps, and keep them
/// (`mallopt(3)`, `M_MMAP_THRESHOLD`). Pages that nobody writes to cost nothing.
const OWN_MAPPING_BYTES: usize = 32 * 1024 * 1024;

/// What a hash on file may ask for at most, in KiB.
const MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;

impl Hashing {
    /// Starts the threads.
    pub fn start(config: &HashingConfig, random: Random) -> Result<Self, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(format!("Argon2: {error}"));
        let params = Params::new(config.memory_kib, config.passes, config.lanes, None).map_err(|e| internal(&e))?;
        let worker = || Worker { params: params.clone(), memory: Vec::new() };
        let workers = Workers::start("hashing", &config.workers, worker).map_err(|e| internal(&e))?;
        let salt = Salt::new(&random.bytes::<16>()).map_err(|e| internal(&e))?;
        let nobodys = Password::to_compare(&hex::encode(random.bytes::<16>()));
        let dummy = worker().hash(&nobodys, salt).map_err(|e| internal(&e))?;
        Ok(Self { workers, dummy: dummy.into(), random })
    }

    /// Hashes a new password into a PHC string.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        let salt = Salt::new(&self.random.bytes::<16>()).map_err(|error| Error::Internal(error.to_string()))?;
        self.run(move |worker| worker.hash(&password, salt)).await
    }

    /// Compares a password with a PHC string. `None` (an unknown account) takes the same time and is always wrong.
    pub async fn verify(&self, password: Password, phc: Option<&str>) -> Result<Verdict, Error> {
        let is_known = phc.is_some();
        let against = phc.map_or_else(|| Arc::clone(&self.dummy), Arc::from);
        let verdict = self.run(move |worker| worker.verify(&password, &against)).await?;
        Ok(if is_known { verdict } else { Verdict::Wrong })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Worker) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Error> {
        match self.workers.run(work).await {
            Ok(done) => done.map_err(Error::Internal),
            Err(Overload::Panicked) => Err(Error::Internal("hashing panicked".to_owned())),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }
}

#[derive(Debug)]
struct Worker {
    params: Params,
    memory: Vec<Block>,
}

impl shared::workers::Worker for Worker {
    fn rest(&mut self) {
        self.memory = Vec::new();
    }
}

impl Worker {
    fn hash(&mut self, password: &Password, salt: Salt) -> Result<String, String> {
        let params = self.params.clone();
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        self.compute(Algorithm::Argon2id, Version::V0x13, &params, password, &salt, &mut out)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().map_err(text)?,
            salt: Some(salt),
            hash: Some(Output::new(&out).map_err(text)?),
        };
        Ok(hash.to_string())
    }

    fn verify(&mut self, password: &Password, phc: &str) -> Result<Verdict, String> {
        let hash = PasswordHash::new(phc).map_err(text)?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(text)?;
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(text)?;
        let params = Params::try_from(&hash).map_err(text)?;
        if params.m_cost() > MEMORY_KIB_MAX {
            return Err("a hash on file asks for too much memory".to_owned());
        }
        let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
            return Err("a hash on file has no salt or no output".to_owned());
        };
        let mut out = vec![0; expected.len()];
        self.compute(algorithm, version, &params, password, &salt, &mut out)?;
        // `Output` compares in constant time.
        if Output::new(&out).map_err(text)? != expected {
            return Ok(Verdict::Wrong);
        }
        let wanted = &self.params;
        let is_weak = algorithm != Algorithm::Argon2id
            || version != Version::V0x13
            || params.m_cost() < wanted.m_cost()
            || params.t_cost() < wanted.t_cost()
            || params.p_cost() < wanted.p_cost();
        Ok(if is_weak { Verdict::RightButWeak } else { Verdict::Right })
    }

    /// Makes sure that there is memory for a hash of so many blocks.
    fn hold(&mut self, blocks: usize) {
        if self.memory.len() < blocks {
            self.memory = Vec::with_capacity(blocks.max(OWN_MAPPING_BYTES / size_of::<Block>() + 1));
            self.memory.resize(blocks, Block::default());
        }
    }

    fn compute(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: &Params,
        password: &Password,
        salt: &Salt,
        out: &mut [u8],
    ) -> Result<(), String> {
        tracing::debug!("a password is hashed");
        self.hold(params.block_count());
        Argon2::new(algorithm, version, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.memory)
            .map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
