//! Cleans and decodes pictures on bounded threads of their own (see [`shared::workers`]), in bounded memory.
//!
//! An upload takes tens of milliseconds of one core, and what [`images::Cleaned::memory_bytes`] tells; a rendition of it
//! as long, and what [`Source::memory_bytes`] tells.

pub mod memory;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::http::body::BufferedBody;
use shared::workers::{Overload, StopSignal, Workers, WorkersConfig};

use self::memory::{MemoryBudget, NoMemory};
use crate::error::Error;
use crate::images::work::Work;
use crate::images::{self, Accepted, Middle, PictureLimits, Refusal};
use crate::renditions::{Encoded, RenderError, Source};

/// What may be kept of a picture until its rendition is made, in bytes; it is kept of one picture at a time.
const MIDDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What decoding may cost.
#[derive(Clone, Debug)]
pub struct DecodingConfig {
    /// Pictures decoded at once, and how many may wait.
    pub workers: WorkersConfig,
    /// How long one picture may take, the wait in the queue included; then it is stopped.
    pub deadline: Duration,
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
    /// The side of the rendition that every accepted picture must have, in pixels.
    rendition: u32,
    deadline: Duration,
    /// Cloned by all who wait for a thread, or have one.
    waiting: Arc<()>,
}

impl Decoding {
    /// Starts the threads. A picture whose rendition of `rendition` pixels would take more memory than there is in all is
    /// refused. Called on the runtime.
    pub fn start(config: &DecodingConfig, rendition: u32) -> std::io::Result<Self> {
        Ok(Self {
            workers: Workers::start("decoding", &config.workers, || ())?,
            memory: MemoryBudget::new(config.memory_bytes, config.workers.queue_timeout),
            limits: config.limits,
            rendition,
            deadline: config.deadline,
            waiting: Arc::default(),
        })
    }

    /// Cleans a picture and decodes it in full. What is kept of it keeps its body's share of memory. With `size`, what a
    /// rendition of that size is made of is kept, too, if it takes little.
    pub async fn accept(&self, mut body: BufferedBody, size: Option<u32>) -> Result<(Accepted, Option<Middle>), Error> {
        let acceptance = Acceptance { limits: self.limits, memory: self.memory.clone(), rendition: self.rendition };
        let work = move |stop: &StopSignal| {
            let (accepted, middle) = acceptance.accept(std::mem::take(&mut body.bytes), size, stop)?;
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
        let work = move |stop: &StopSignal| {
            let bytes = source.memory_bytes(size).map_err(RenderError::Decode)?;
            let _share = memory.take(bytes, stop).map_err(|reason| match reason {
                NoMemory::Never(refusal) => Error::NoRendition(refusal),
                reason @ NoMemory::NotNow(_) => reason.into(),
            })?;
            Ok(source.rendition(size, &mut Work::stopped_by(stop.clone()))?)
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

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StopSignal) -> T + Send + 'static,
    ) -> Result<T, Overload> {
        let _waiting = Arc::clone(&self.waiting);
        self.workers.run_stoppable(self.deadline, |(), stop| work(stop)).await
    }
}

/// What a picture must meet.
struct Acceptance {
    limits: PictureLimits,
    memory: MemoryBudget,
    rendition: u32,
}

impl Acceptance {
    fn accept(
        &self,
        picture: Bytes,
        size: Option<u32>,
        stop: &StopSignal,
    ) -> Result<(Accepted, Option<Middle>), Error> {
        let memory = &self.memory;
        let mut work = Work::stopped_by(stop.clone());
        let cleaned = images::clean(&picture)?;
        // Where there is a new one it is held alone.
        drop(picture);
        let own = cleaned.memory_bytes(self.limits)?;
        memory.check(Source::Picture(cleaned.bytes().clone()).memory_bytes(self.rendition)?)?;
        let middle = size.and_then(|size| Some((size, cleaned.middle_memory_bytes(size)?)));
        if let Some((size, bytes)) = middle.filter(|(_, bytes)| *bytes <= MIDDLE_BYTES_MAX && memory.holds(own + bytes))
        {
            let _share = memory.take(own + bytes, stop)?;
            let (accepted, middle) = cleaned.decode_for(size, &mut work)?;
            return Ok((accepted, Some(middle)));
        }
        let _share = memory.take(own, stop)?;
        Ok((cleaned.decode(&mut work)?, None))
    }
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
struct Held(BufferedBody);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile;

    fn decoding(deadline: Duration) -> Decoding {
        let workers = WorkersConfig { threads: 1, queue_max: 8, queue_timeout: Duration::from_mins(1) };
        let limits = PictureLimits { pixels_max: 40_000_000 };
        Decoding::start(&DecodingConfig { workers, deadline, memory_bytes: 1 << 28, limits }, 512).unwrap()
    }

    /// A picture whose rendition takes a while.
    fn source() -> Source {
        Source::Picture((hostile::ALL[0])().ordinary().into())
    }

    #[tokio::test]
    async fn past_its_deadline_a_rendition_is_busy_and_not_refused() {
        let late = decoding(Duration::ZERO).render(source(), 512).await;
        assert!(matches!(late, Err(Error::Busy(Overload::TookTooLong))), "{late:?}");
        assert!(decoding(Duration::from_mins(1)).render(source(), 512).await.is_ok());
    }
}
