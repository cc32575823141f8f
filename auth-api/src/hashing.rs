//! Argon2id (RFC 9106) on a bounded worker pool (see [`shared::worker_pool`]).
//!
//! A hash takes tens of milliseconds of one core and `ARGON2_MEMORY_KIB` of memory, which a worker keeps for the next hash:
//! 10 % faster than allocating it each time.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use shared::random::Random;
use shared::worker_pool::{Overload, Priority, Workers, WorkersConfig};

use crate::domain::Password;
use crate::error::Error;

/// Cost of a hash and size of the worker pool.
#[derive(Clone, Debug)]
pub struct HashingConfig {
    /// `m`
    pub memory_kib: u32,
    /// `t`
    pub passes: u32,
    /// `p`
    pub lanes: u32,
    pub workers: WorkersConfig,
}

/// Result of a check of a password against a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PasswordCheck {
    /// The password matches, and its hash has the configured parameters or stronger ones.
    Valid,
    /// Valid, and its hash has weaker parameters than the configured ones.
    ValidNeedsRehash,
    /// The password does not match, or there is no such account.
    Invalid,
    /// The stored hash is no Argon2 hash in PHC format, or needs more memory than [`MEMORY_KIB_MAX`]: no password matches it.
    UnusableHash,
}

/// The worker pool. Cheap to clone; the threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Hashing {
    workers: Workers<Hasher>,
    /// Hash of a random password with the configured parameters, to check unknown accounts against.
    dummy: StoredHash,
    random: Random,
}

/// Allocations above glibc's maximum dynamic mmap threshold are always mmapped and returned to the kernel on free. Smaller
/// ones can raise the threshold and then stay in the heap (`mallopt(3)`). Pages that are never written cost nothing.
const MMAPPED_BYTES_MIN: usize = 32 * 1024 * 1024;

/// Most memory that a stored hash may need, in KiB.
const MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;

impl Hashing {
    /// Starts the worker threads.
    pub fn start(config: &HashingConfig, random: Random) -> Result<Self, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(format!("Argon2: {error}"));
        let params = Params::new(config.memory_kib, config.passes, config.lanes, None).map_err(|e| internal(&e))?;
        let worker = move || Hasher { params: params.clone(), memory: Vec::new() };
        let workers =
            Workers::start("hashing", Priority::Idle, &config.workers, worker.clone()).map_err(|e| internal(&e))?;
        let salt = Salt::new(&random.bytes::<16>()).map_err(|e| internal(&e))?;
        let dummy_password = Password::to_compare(&hex::encode(random.bytes::<16>()));
        let dummy = worker().hash(&dummy_password, salt).map_err(|e| internal(&e))?;
        let dummy = StoredHash::parse(&dummy).map_err(|Unusable| internal(&"its own hash is unusable"))?;
        Ok(Self { workers, dummy, random })
    }

    /// Hashes a new password into a PHC string.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        let salt = Salt::new(&self.random.bytes::<16>()).map_err(|error| Error::Internal(error.to_string()))?;
        self.run(move |worker| worker.hash(&password, salt)).await
    }

    /// Checks a password against a PHC string. `None` (an unknown account) and an unusable hash take the time of a hash with
    /// the configured parameters, and no password matches them.
    pub async fn verify(&self, password: Password, phc: Option<&str>) -> Result<PasswordCheck, Error> {
        let stored = phc.map(StoredHash::parse);
        let without_match = match stored {
            Some(Ok(_)) => None,
            Some(Err(Unusable)) => Some(PasswordCheck::UnusableHash),
            None => Some(PasswordCheck::Invalid),
        };
        let against = stored.and_then(Result::ok).unwrap_or_else(|| self.dummy.clone());
        let check = self.run(move |worker| worker.verify(&password, &against)).await?;
        Ok(without_match.unwrap_or(check))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hasher) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Error> {
        match self.workers.run(work).await {
            Ok(done) => done.map_err(Error::Internal),
            Err(Overload::Panicked) => Err(Error::Internal("hashing panicked".to_owned())),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }
}

/// A stored hash that a password can be checked against.
#[derive(Clone, Debug)]
struct StoredHash {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Salt,
    output: Output,
}

/// See [`PasswordCheck::UnusableHash`].
struct Unusable;

impl StoredHash {
    /// Parses a PHC string.
    fn parse(phc: &str) -> Result<Self, Unusable> {
        let hash = PasswordHash::new(phc).map_err(|_| Unusable)?;
        let params = Params::try_from(&hash).map_err(|_| Unusable)?;
        let (Some(salt), Some(output)) = (hash.salt, hash.hash) else { return Err(Unusable) };
        if params.m_cost() > MEMORY_KIB_MAX {
            return Err(Unusable);
        }
        Ok(Self {
            algorithm: Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| Unusable)?,
            version: hash.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(|_| Unusable)?,
            params,
            salt,
            output,
        })
    }
}

#[derive(Debug)]
struct Hasher {
    params: Params,
    memory: Vec<Block>,
}

impl Hasher {
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

    fn verify(&mut self, password: &Password, stored: &StoredHash) -> Result<PasswordCheck, String> {
        let StoredHash { algorithm, version, params, salt, output } = stored;
        let mut out = vec![0; output.len()];
        self.compute(*algorithm, *version, params, password, salt, &mut out)?;
        // `Output` compares in constant time.
        if Output::new(&out).map_err(text)? != *output {
            return Ok(PasswordCheck::Invalid);
        }
        let wanted = &self.params;
        let is_weak = *algorithm != Algorithm::Argon2id
            || *version != Version::V0x13
            || params.m_cost() < wanted.m_cost()
            || params.t_cost() < wanted.t_cost()
            || params.p_cost() < wanted.p_cost();
        Ok(if is_weak { PasswordCheck::ValidNeedsRehash } else { PasswordCheck::Valid })
    }

    /// Grows the memory to at least `blocks`.
    fn reserve(&mut self, blocks: usize) {
        if self.memory.len() < blocks {
            self.memory = Vec::with_capacity(blocks.max(MMAPPED_BYTES_MIN / size_of::<Block>() + 1));
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
        tracing::debug!("hashing a password");
        self.reserve(params.block_count());
        Argon2::new(algorithm, version, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.memory)
            .map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
