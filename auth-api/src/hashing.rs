//! Argon2id (RFC 9106) on bounded threads of its own.
//!
//! A hash takes tens of milliseconds of one core and `ARGON2_MEMORY_KIB` of memory, so the number of threads bounds
//! both. The threads have a lower priority than those that serve sockets: `me` keeps its speed while logins saturate
//! the machine. What waits is bounded in number and in time; past it the answer is 503 at once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use shared::random::Random;
use tokio::sync::oneshot;
use tokio::time::Instant;

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
    pub threads: usize,
    /// Hashes that may wait.
    pub queue_max: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
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
    jobs: SyncSender<Job>,
    queue_timeout: Duration,
    /// A hash of nobody's password with the parameters of today: what an unknown account is checked against.
    dummy: Arc<str>,
    random: Random,
}

struct Job {
    password: Password,
    work: Work,
    deadline: Instant,
}

enum Work {
    Hash(Salt, oneshot::Sender<Result<String, String>>),
    Verify(Arc<str>, oneshot::Sender<Result<Verdict, String>>),
}

/// A thread that has had nothing to do for this long gives its memory back.
const IDLE: Duration = Duration::from_secs(1);

/// How much nicer than the rest of the process a hashing thread is (`nice(2)`).
const NICENESS: i32 = 10;

/// The longest salt and hash in a PHC string are far below; this bounds what a hash on file may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;

impl Hashing {
    /// Starts the threads.
    pub fn start(config: &HashingConfig, random: Random) -> Result<Self, Error> {
        let internal = |error: &dyn std::fmt::Display| Error::Internal(format!("Argon2: {error}"));
        let params = Params::new(config.memory_kib, config.passes, config.lanes, None).map_err(|e| internal(&e))?;
        let (jobs, queue) = sync_channel(config.queue_max);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..config.threads {
            let (queue, params) = (Arc::clone(&queue), params.clone());
            std::thread::Builder::new()
                .name(format!("hashing-{number}"))
                .spawn(move || Worker { params, memory: Vec::new() }.run(&queue))
                .map_err(|e| internal(&e))?;
        }
        let salt = Salt::new(&random.bytes::<16>()).map_err(|e| internal(&e))?;
        let nobodys = Password::to_compare(&hex::encode(random.bytes::<16>()));
        let dummy = Worker { params, memory: Vec::new() }.hash(&nobodys, salt).map_err(|e| internal(&e))?;
        Ok(Self { jobs, queue_timeout: config.queue_timeout, dummy: dummy.into(), random })
    }

    /// Hashes a new password into a PHC string.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        let salt = Salt::new(&self.random.bytes::<16>()).map_err(|error| Error::Internal(error.to_string()))?;
        let (reply, answer) = oneshot::channel();
        self.submit(password, Work::Hash(salt, reply), answer).await
    }

    /// Compares a password with a PHC string. `None` (an unknown account) takes the same time and is always wrong.
    pub async fn verify(&self, password: Password, phc: Option<&str>) -> Result<Verdict, Error> {
        let (reply, answer) = oneshot::channel();
        let against = phc.map_or_else(|| Arc::clone(&self.dummy), Arc::from);
        let verdict = self.submit(password, Work::Verify(against, reply), answer).await?;
        Ok(if phc.is_some() { verdict } else { Verdict::Wrong })
    }

    async fn submit<T>(
        &self,
        password: Password,
        work: Work,
        answer: oneshot::Receiver<Result<T, String>>,
    ) -> Result<T, Error> {
        let job = Job { password, work, deadline: Instant::now() + self.queue_timeout };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Disconnected(_) => Error::Internal("the hashing threads are gone".to_owned()),
        })?;
        // A job that was past its deadline is dropped, and its reply with it.
        answer.await.map_err(|_| Error::Busy)?.map_err(Error::Internal)
    }
}

struct Worker {
    params: Params,
    memory: Vec<Block>,
}

impl Worker {
    fn run(mut self, queue: &Mutex<Receiver<Job>>) {
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::warn!(%error, "hashing threads keep the priority of the others");
        }
        loop {
            // Whoever holds the lock waits for the next job; the others wait for the lock.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(IDLE);
            match next {
                Ok(job) => self.perform(job),
                Err(RecvTimeoutError::Timeout) => self.memory = Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn perform(&mut self, job: Job) {
        if job.deadline < Instant::now() {
            return;
        }
        // Who has gone away meanwhile costs no hash.
        match job.work {
            Work::Hash(salt, reply) if !reply.is_closed() => {
                let _ = reply.send(self.hash(&job.password, salt));
            }
            Work::Verify(phc, reply) if !reply.is_closed() => {
                let _ = reply.send(self.verify(&job.password, &phc));
            }
            Work::Hash(..) | Work::Verify(..) => {}
        }
    }

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

    fn compute(
        &mut self,
        algorithm: Algorithm,
        version: Version,
        params: &Params,
        password: &Password,
        salt: &Salt,
        out: &mut [u8],
    ) -> Result<(), String> {
        if self.memory.len() < params.block_count() {
            self.memory.resize(params.block_count(), Block::default());
        }
        Argon2::new(algorithm, version, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.memory)
            .map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
