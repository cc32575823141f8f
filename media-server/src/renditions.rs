//! Renditions: small square images in sRGB, upright, made of the center of a picture's first frame.
//!
//! A rendition is a JPEG, or a PNG where it has alpha; of pictures that are no JPEG also a lossless WebP, where that is
//! smaller. The largest size is made of the picture, right after the upload if the decode pool is idle (pregeneration); the
//! others are made of the largest on first use, which takes milliseconds. They are stored next to the picture (see
//! [`crate::storage`]) and deleted with it. Two replicas that make the same rendition make the same bytes.
//!
//! Verification of a JPEG keeps the scaled center crop that the largest is made of, which saves a second decode. No upload
//! waits for its rendition.

mod color;
mod decode;
mod encode;
mod memory;
mod orient;
mod raster;
mod resize;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::http::Problem;
use shared::media_api::{ImageId, ImageKind};
use shared::worker_pool::{Overload, WorkersConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::decode_pool::{DecodeError, DecodePool, Worker};
use crate::error::Error;
use crate::formats::work::Work;
use crate::formats::{self, ImageError, ScaledCrop};
use crate::single_flight::{SingleFlight, SingleFlightError};
use crate::storage::{Extent, RenditionKey, Storage, StoredObject};
use encode::EncodeError;
use raster::Raster;

pub use encode::EncodedRendition;

/// Makes renditions on demand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Renditions {
    storage: Storage,
    pool: DecodePool,
    largest: u32,
    flights: SingleFlight<(ImageId, u32), Result<Formats, Problem>>,
    /// Bounds the pictures in memory that wait for a decoder: twice the threads, so that one is read while one is decoded.
    inputs: Arc<Semaphore>,
    wait_timeout: Duration,
    pregeneration: Arc<Semaphore>,
}

/// Allows one pregeneration; only one runs at a time.
#[derive(Debug)]
pub struct PregeneratePermit {
    pub size: u32,
    _permit: OwnedSemaphorePermit,
}

/// A stored rendition in one format.
#[derive(Clone, Debug)]
pub struct StoredRendition {
    pub object: StoredObject,
    pub kind: ImageKind,
}

/// A rendition in the formats that are stored of it.
#[derive(Clone, Debug)]
struct Formats {
    /// JPEG or PNG.
    fallback: StoredRendition,
    /// Lossless.
    webp: Option<StoredRendition>,
}

impl Formats {
    /// WebP is stored before the fallback, so a missing WebP does not exist once there is a fallback.
    fn new(renditions: Vec<StoredRendition>) -> Option<Self> {
        let (webp, fallback): (Vec<_>, Vec<_>) =
            renditions.into_iter().partition(|rendition| rendition.kind == ImageKind::Webp);
        Some(Self { fallback: fallback.into_iter().next()?, webp: webp.into_iter().next() })
    }

    fn best(self, accepts_webp: bool) -> StoredRendition {
        self.webp.filter(|_| accepts_webp).unwrap_or(self.fallback)
    }
}

impl Renditions {
    /// Limits queues and waits as those of the decode pool.
    pub fn new(storage: Storage, pool: DecodePool, largest: u32, workers: &WorkersConfig) -> Self {
        Self {
            storage,
            pool,
            largest,
            flights: SingleFlight::new(workers.queue_max.max(1)),
            inputs: Arc::new(Semaphore::new(workers.threads.saturating_mul(2))),
            wait_timeout: workers.queue_timeout,
            pregeneration: Arc::new(Semaphore::new(1)),
        }
    }

    /// Returns a rendition of a stored picture, and makes it first if it is missing. `kind` is that of the picture.
    pub async fn get(
        &self,
        id: ImageId,
        kind: ImageKind,
        size: u32,
        accepts_webp: bool,
    ) -> Result<StoredRendition, Error> {
        let ended_before = self.flights.ended_count();
        let formats = match self.find(id, kind, size, accepts_webp, Extent::Prefix).await? {
            Some(found) => found,
            None if size == self.largest => self.make_largest(id, kind, ended_before).await?,
            None => self.make_smaller(id, kind, size, ended_before).await?,
        };
        Ok(formats.best(accepts_webp))
    }

    /// Returns a permit to pregenerate the largest size, unless another pregeneration runs or the decode pool is busy.
    pub fn pregenerate_permit(&self) -> Option<PregeneratePermit> {
        let permit = Arc::clone(&self.pregeneration).try_acquire_owned().ok().filter(|_| self.pool.is_idle())?;
        Some(PregeneratePermit { size: self.largest, _permit: permit })
    }

    /// Makes the largest size of a picture that has just been stored, in the background, unless the decode pool is busy: it
    /// is then made on first use.
    pub fn pregenerate(&self, id: ImageId, input: RenderInput, permit: PregeneratePermit) {
        if !self.pool.is_idle() {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let size = permit.size;
            let work = {
                let this = this.clone();
                async move { this.render(id, size, input).await }
            };
            if let Err(error) = this.fly(id, size, work).await {
                tracing::debug!(%error, size, "pregenerating a rendition failed; it will be made on first use");
            }
            drop(permit);
        });
    }

    /// Looks up a rendition. A JPEG has neither PNG nor WebP renditions.
    async fn find(
        &self,
        id: ImageId,
        kind: ImageKind,
        size: u32,
        webp: bool,
        extent: Extent,
    ) -> Result<Option<Formats>, Error> {
        let kinds: &[ImageKind] = match (kind, webp) {
            (ImageKind::Jpeg, _) => &[ImageKind::Jpeg],
            (_, false) => &[ImageKind::Jpeg, ImageKind::Png],
            (_, true) => &[ImageKind::Jpeg, ImageKind::Png, ImageKind::Webp],
        };
        let keys = kinds.iter().map(|kind| RenditionKey { size, kind: *kind }).collect();
        let found = self.storage.get_renditions(id, keys, extent).await?;
        Ok(Formats::new(found.into_iter().map(|(key, object)| StoredRendition { object, kind: key.kind }).collect()))
    }

    /// Looks a rendition up again if a flight has ended since the first lookup, because it may have stored it.
    async fn find_again(
        &self,
        id: ImageId,
        kind: ImageKind,
        size: u32,
        ended_before: u64,
    ) -> Result<Option<Formats>, Error> {
        if self.flights.ended_count() == ended_before {
            return Ok(None);
        }
        self.find(id, kind, size, true, Extent::Prefix).await
    }

    async fn make_largest(&self, id: ImageId, kind: ImageKind, ended_before: u64) -> Result<Formats, Error> {
        let (this, size) = (self.clone(), self.largest);
        let work = async move {
            if let Some(found) = this.find_again(id, kind, size, ended_before).await? {
                return Ok(found);
            }
            let _permit = this.input_permit().await?;
            let picture = this.storage.read(id).await?.ok_or(Error::NotFound)?;
            this.render(id, size, RenderInput::Original(picture)).await
        };
        self.fly(id, size, work).await
    }

    async fn make_smaller(&self, id: ImageId, kind: ImageKind, size: u32, ended_before: u64) -> Result<Formats, Error> {
        let this = self.clone();
        let work = async move {
            if let Some(found) = this.find_again(id, kind, size, ended_before).await? {
                return Ok(found);
            }
            let mut permit = this.input_permit().await?;
            let ended_before = this.flights.ended_count();
            let mut largest = this.find(id, kind, this.largest, true, Extent::Whole).await?;
            if largest.is_none() {
                // Making the largest takes a permit, too.
                drop(permit);
                largest = Some(this.make_largest(id, kind, ended_before).await?);
                permit = this.input_permit().await?;
            }
            let _permit = permit;
            let largest = largest.ok_or(Error::NotFound)?;
            let input = this.storage.complete(largest.best(true).object).await?;
            this.render(id, size, RenderInput::Original(input)).await
        };
        self.fly(id, size, work).await
    }

    async fn input_permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        match timeout(self.wait_timeout, self.inputs.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::Busy(Overload::WaitedTooLong)),
        }
    }

    async fn fly(
        &self,
        id: ImageId,
        size: u32,
        work: impl Future<Output = Result<Formats, Error>> + Send + 'static,
    ) -> Result<Formats, Error> {
        match self.flights.run((id, size), || async { work.await.map_err(Problem::from) }).await {
            Ok(outcome) => outcome.map_err(Error::Request),
            Err(SingleFlightError::TooMany) => Err(Error::Busy(Overload::QueueFull)),
            Err(SingleFlightError::Panicked) => Err(Error::Internal("making a rendition panicked".to_owned())),
        }
    }

    /// Makes a rendition and stores it. Fails with [`Error::NotFound`] if the picture has been deleted meanwhile.
    async fn render(&self, id: ImageId, size: u32, input: RenderInput) -> Result<Formats, Error> {
        let EncodedRendition { kind, bytes, webp } = render_on(&self.pool, input, size).await?;
        tracing::debug!(size, "rendition made");
        let webp = webp.map(|bytes| (RenditionKey { size, kind: ImageKind::Webp }, bytes));
        let renditions = webp.into_iter().chain([(RenditionKey { size, kind }, bytes)]).collect();
        let stored = self.storage.put_renditions(id, renditions).await?;
        let stored = stored.into_iter().map(|(key, object)| StoredRendition { object, kind: key.kind });
        Formats::new(stored.collect()).ok_or(Error::NotFound)
    }
}

async fn render_on(pool: &DecodePool, input: RenderInput, size: u32) -> Result<EncodedRendition, Error> {
    let render = move |worker: &Worker| {
        let _permit = worker.reserve(input.memory_bytes(size)?)?;
        match input.render(size, &mut worker.work()) {
            Err(RenderError::Decode(error)) => Err(error.into()),
            Err(error @ (RenderError::Resize(_) | RenderError::Encode(_))) => {
                Ok(Err(Error::Internal(error.to_string())))
            }
            Ok(rendition) => Ok(Ok(rendition)),
        }
    };
    match pool.run(render).await {
        Ok(rendition) => rendition,
        // The decoders of pixels accept less than verification does: their refusal is no bug.
        Err(DecodeError::Image(error)) => Err(Error::NoRendition(error)),
        Err(DecodeError::Overload(overload)) => Err(Error::Busy(overload)),
    }
}

/// What a rendition is made of.
#[derive(Debug)]
pub enum RenderInput {
    /// A verified image.
    Original(Bytes),
    /// The scaled center crop of a JPEG, kept by verification.
    ScaledCrop(ScaledCrop),
}

impl RenderInput {
    /// Returns the memory that [`Self::render`] takes, in bytes.
    pub fn memory_bytes(&self, size: u32) -> Result<u64, ImageError> {
        match self {
            Self::Original(picture) => memory::bytes(picture, size),
            Self::ScaledCrop(crop) => Ok(memory::crop_bytes(crop, size)),
        }
    }

    /// Makes a rendition, which takes about as long as decoding the input: run it on the decode pool, with
    /// [`Self::memory_bytes`] reserved.
    pub fn render(self, size: u32, work: &mut Work) -> Result<EncodedRendition, RenderError> {
        let (raster, is_jpeg) = match self {
            Self::Original(picture) => {
                let is_jpeg = formats::detect_kind(&picture) == Some(ImageKind::Jpeg);
                (decode::first_frame(&picture, size, work).map_err(RenderError::Decode)?, is_jpeg)
            }
            Self::ScaledCrop(crop) => (decode::jpeg_crop(&crop), true),
        };
        render_raster(raster, size, !is_jpeg)
    }
}

fn render_raster(mut raster: Raster, size: u32, with_webp: bool) -> Result<EncodedRendition, RenderError> {
    let square = resize::center_square(&mut raster, size)?;
    let square = color::to_srgb(square, raster.profile.as_deref()).without_opaque_alpha();
    Ok(encode::encode(&raster.orientation.upright(square), with_webp)?)
}

/// Why a rendition can't be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error(transparent)]
    Decode(ImageError),
    /// A bug.
    #[error(transparent)]
    Resize(#[from] resize::Error),
    /// A bug.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

#[cfg(test)]
mod tests;
