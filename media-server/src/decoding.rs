//! Cleans and decodes pictures on bounded threads of their own (see [`shared::workers`]), in bounded memory.
//!
//! An upload takes tens of milliseconds of one core, and what [`images::Cleaned::memory_bytes`] tells; a rendition of it
//! as long, and what [`Source::memory_bytes`] tells.

pub mod memory;

use std::sync::Arc;

use bytes::Bytes;
use shared::http::body::Received;
use shared::workers::{Overload, Workers, WorkersConfig};

use self::memory::{MemoryBudget, NoMemory};
use crate::error::Error;
use crate::images::{self, Accepted, Middle, PictureLimits, Refusal};
use crate::renditions::{Encoded, Source};

/// What may be kept of a picture until its rendition is made, in bytes; it is kept of one picture at a time.
const MIDDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What decoding may cost.
#[derive(Clone, Debug)]
pub struct DecodingConfig {
    /// Pictures decoded at once, and how many may wait.
    pub workers: WorkersConfig,
    /// What all decodings together may take, in bytes; who can't have its share waits as long as for a thread.
    pub memory_bytes: u64,
    /// What a picture may cost.
    pub limits: PictureLimits,
}

/// The decoding threads; they end with this.
#[derive(Debug)]
pub struct Decoding {
    workers: Workers<()>,
    memory: MemoryBudget,
    limits: PictureLimits,
    /// Cloned by all who wait for a thread, or have one.
    waiting: Arc<()>,
}

impl Decoding {
    /// Starts the threads. Called on the runtime.
    pub fn start(config: &DecodingConfig) -> std::io::Result<Self> {
        Ok(Self {
            workers: Workers::start("decoding", &config.workers, || ())?,
            memory: MemoryBudget::new(config.memory_bytes, config.workers.queue_timeout),
            limits: config.limits,
            waiting: Arc::default(),
        })
    }

    /// Cleans a picture and decodes it in full. What is kept of it keeps its body's share of memory. With `size`, what a
    /// rendition of that size is made of is kept, too, if it takes little.
    pub async fn accept(&self, mut body: Received, size: Option<u32>) -> Result<(Accepted, Option<Middle>), Error> {
        let (memory, limits) = (self.memory.clone(), self.limits);
        let work = move |(): &mut ()| {
            let (accepted, middle) = accept(std::mem::take(&mut body.bytes), size, limits, &memory)?;
            body.bytes = accepted.bytes;
            Ok((Accepted { kind: accepted.kind, bytes: Bytes::from_owner(Held(body)) }, middle))
        };
        match self.run(work).await {
            Ok(accepted) => accepted,
            Err(Overload::Panicked) => Err(Error::Refused(Refusal::Broken("its decoder panicked".to_owned()))),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }

    /// Makes a rendition of a picture that has been accepted.
    pub async fn render(&self, source: Source, size: u32) -> Result<Encoded, Error> {
        let memory = self.memory.clone();
        let work = move |(): &mut ()| {
            let _share = memory.take(source.memory_bytes(size)?).map_err(|reason| match reason {
                NoMemory::Never(refusal) => Error::NoRendition(refusal),
                reason @ NoMemory::NotNow(_) => reason.into(),
            })?;
            Ok(source.rendition(size)?)
        };
        match self.run(work).await {
            Ok(rendered) => rendered,
            Err(Overload::Panicked) => Err(Error::NoRendition(Refusal::Broken("its decoder panicked".to_owned()))),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }

    /// Whether nobody waits for a thread or has one.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.waiting) == 1
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut ()) -> T + Send + 'static) -> Result<T, Overload> {
        let _waiting = Arc::clone(&self.waiting);
        self.workers.run(work).await
    }
}

fn accept(
    picture: Bytes,
    size: Option<u32>,
    limits: PictureLimits,
    memory: &MemoryBudget,
) -> Result<(Accepted, Option<Middle>), Error> {
    let cleaned = images::clean(&picture)?;
    // Where there is a new one it is held alone.
    drop(picture);
    let own = cleaned.memory_bytes(limits)?;
    let middle = size.and_then(|size| Some((size, cleaned.middle_memory_bytes(size)?)));
    if let Some((size, bytes)) = middle.filter(|(_, bytes)| *bytes <= MIDDLE_BYTES_MAX && memory.holds(own + bytes)) {
        let _share = memory.take(own + bytes)?;
        let (accepted, middle) = cleaned.decode_for(size)?;
        return Ok((accepted, Some(middle)));
    }
    let _share = memory.take(own)?;
    Ok((cleaned.decode()?, None))
}

impl From<NoMemory> for Error {
    fn from(reason: NoMemory) -> Self {
        match reason {
            NoMemory::Never(refusal) => Self::Refused(refusal),
            NoMemory::NotNow(overload) => Self::Busy(overload),
        }
    }
}

/// A body that keeps its share of the memory budget until the last of its bytes is let go, even where a decoder or the
/// disk still has it after the client has hung up.
struct Held(Received);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
