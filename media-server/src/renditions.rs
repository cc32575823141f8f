//! Renditions: a picture's middle, square, upright and small, in sRGB, its first frame; JPEG, or PNG where something
//! shines through, or WebP where the client takes it and it is smaller.
//!
//! The largest is made of the picture, right after its upload where nobody waits for a decoder; the smaller ones are made of
//! the largest, each when it is first asked for, which takes milliseconds. They are kept beside the picture (see
//! [`crate::storage`]) and go with it: a deletion takes the picture before its renditions, and who stores one looks after
//! that whether the picture is still there. Two replicas that make the same one make the same bytes.
//!
//! An upload is accepted by a decode that makes no pixels ([`crate::images`]). Of a JPEG it keeps meanwhile what the largest
//! is made of, if that is to be made, so that there is no second decode; no upload waits for the rendition itself.

pub mod asked;
mod colours;
mod decode;
mod encode;
mod frame;
mod in_flight;
mod memory;
mod orientation;
mod shrink;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::http::Problem;
use shared::media_api::{ImageId, ImageKind};
use shared::workers::Overload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::App;
use crate::decoding::DecodingConfig;
use crate::error::Error;
use crate::images::work::Work;
use crate::images::{Middle, Refusal};
use crate::storage::{Picture, RenditionKey, Storage};
use asked::RenditionSizes;
use encode::EncodeError;
use frame::Frame;
use in_flight::{InFlight, Unmade};

pub use encode::Encoded;

/// Renditions that are made on demand.
#[derive(Debug)]
pub struct Renditions {
    /// What may be asked for.
    pub sizes: RenditionSizes,
    in_flight: InFlight<(ImageId, u32), Result<(), Problem>>,
    /// Pictures in memory to be decoded: as many as decoders, and one that is read meanwhile for each.
    sources: Semaphore,
    patience: Duration,
    /// Held by the one picture whose largest is made although nobody has asked for it.
    ahead: Arc<Semaphore>,
}

/// Lets one picture's largest rendition be made although nobody has asked for it.
#[derive(Debug)]
pub struct Ahead {
    /// The size.
    pub size: u32,
    _permit: OwnedSemaphorePermit,
}

impl Renditions {
    /// With the queue limits of the decoders.
    pub fn new(sizes: RenditionSizes, decoding: &DecodingConfig) -> Self {
        let workers = &decoding.workers;
        Self {
            sizes,
            in_flight: InFlight::new(workers.queue_max.max(1)),
            sources: Semaphore::new(workers.threads.saturating_mul(2)),
            patience: workers.queue_timeout,
            ahead: Arc::new(Semaphore::new(1)),
        }
    }
}

/// A rendition, and what it is.
#[derive(Debug)]
pub struct Found {
    /// What is stored.
    pub picture: Picture,
    /// Its format.
    pub kind: ImageKind,
}

/// The rendition of a picture that is there, made if it is not yet. `kind` is the picture's own.
pub async fn read(app: &Arc<App>, id: ImageId, kind: ImageKind, size: u32, webp: bool) -> Result<Found, Error> {
    if let Some(found) = find(&app.storage, id, kind, size, webp).await? {
        return Ok(found);
    }
    let largest = app.renditions.sizes.largest();
    if size < largest && find(&app.storage, id, kind, largest, false).await?.is_none() {
        make(app, id, kind, largest).await?;
    }
    make(app, id, kind, size).await?;
    find(&app.storage, id, kind, size, webp).await?.ok_or(Error::NotFound)
}

/// A rendition that is stored. WebP is stored first, where it is smaller: if the other is there, it would be, too.
async fn find(storage: &Storage, id: ImageId, kind: ImageKind, size: u32, webp: bool) -> Result<Option<Found>, Error> {
    let get = async |kind: ImageKind, is_possible: bool| {
        let key = RenditionKey { size, kind };
        let picture = if is_possible { storage.get_rendition(id, key).await? } else { None };
        Ok::<_, Error>(picture.map(|picture| Found { picture, kind }))
    };
    let (jpeg, png, webp) = tokio::try_join!(
        get(ImageKind::Jpeg, true),
        // Nothing shines through a JPEG.
        get(ImageKind::Png, kind != ImageKind::Jpeg),
        get(ImageKind::Webp, webp),
    )?;
    Ok(jpeg.or(png).map(|plain| webp.unwrap_or(plain)))
}

/// Makes and stores a rendition, once for all who ask meanwhile.
async fn make(app: &Arc<App>, id: ImageId, kind: ImageKind, size: u32) -> Result<(), Error> {
    let work = || {
        let app = Arc::clone(app);
        async move { make_now(&app, id, kind, size).await.map_err(Problem::from) }
    };
    once(app, id, size, work).await
}

/// For a picture that is about to be decoded, unless another one has it, or the decoders have other work.
pub fn ahead(app: &App) -> Option<Ahead> {
    let Renditions { sizes, ahead, .. } = &app.renditions;
    let permit = Arc::clone(ahead).try_acquire_owned().ok().filter(|_| app.decoding.is_idle())?;
    Some(Ahead { size: sizes.largest(), _permit: permit })
}

/// Makes the largest rendition of a picture that has just been stored, in the background and from memory, unless there is
/// other work for the decoders: it is then made when it is asked for.
pub fn make_ahead(app: &Arc<App>, id: ImageId, source: Source, ahead: Ahead) {
    if !app.decoding.is_idle() {
        return;
    }
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let size = ahead.size;
        let work = || {
            let app = Arc::clone(&app);
            async move { render(&app, id, size, source).await.map_err(Problem::from) }
        };
        if let Err(error) = once(&app, id, size, work).await {
            tracing::debug!(%error, "no rendition is made ahead");
        }
        drop(ahead);
    });
}

async fn once<F>(app: &App, id: ImageId, size: u32, work: impl FnOnce() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Problem>> + Send + 'static,
{
    match app.renditions.in_flight.run((id, size), work).await {
        Ok(made) => made.map_err(Error::Request),
        Err(Unmade::TooMany) => Err(Error::Busy(Overload::QueueFull)),
        Err(Unmade::Panicked) => Err(Error::Internal("making a rendition panicked".to_owned())),
    }
}

async fn make_now(app: &App, id: ImageId, kind: ImageKind, size: u32) -> Result<(), Error> {
    // Perhaps by those who were just before.
    if find(&app.storage, id, kind, size, false).await?.is_some() {
        return Ok(());
    }
    let renditions = &app.renditions;
    let permit = timeout(renditions.patience, renditions.sources.acquire()).await;
    let _permit = permit.map_err(|_| Error::Busy(Overload::WaitedTooLong))?;
    let largest = renditions.sizes.largest();
    let source = if size == largest {
        app.storage.get(id).await?
    } else {
        // WebP where there is one: it is lossless.
        find(&app.storage, id, kind, largest, true).await?.map(|found| found.picture)
    };
    let source = app.storage.whole(source.ok_or(Error::NotFound)?).await?;
    render(app, id, size, Source::Picture(source)).await
}

/// Makes a rendition of `source` and stores it. The storage keeps none of a picture that has been deleted meanwhile.
async fn render(app: &App, id: ImageId, size: u32, source: Source) -> Result<(), Error> {
    let Encoded { kind, bytes, webp } = app.decoding.render(source, size).await?;
    tracing::debug!(size, "a rendition is made");
    if let Some(webp) = webp {
        app.storage.put_rendition(id, RenditionKey { size, kind: ImageKind::Webp }, webp).await?;
    }
    app.storage.put_rendition(id, RenditionKey { size, kind }, bytes).await?;
    Ok(())
}

/// What a rendition is made of.
#[derive(Debug)]
pub enum Source {
    /// A picture that has been accepted.
    Picture(Bytes),
    /// What its decoder has kept of it for this size.
    Middle(Middle),
}

impl Source {
    /// What [`Self::rendition`] takes of memory, in bytes.
    pub fn memory_bytes(&self, size: u32) -> Result<u64, Refusal> {
        match self {
            Self::Picture(picture) => memory::bytes(picture, size),
            Self::Middle(middle) => Ok(memory::middle_bytes(middle, size)),
        }
    }

    /// Makes a rendition. Of a picture it takes as long as decoding it: for the threads of [`crate::decoding`], after
    /// [`Self::memory_bytes`].
    pub fn rendition(self, size: u32, work: &mut Work) -> Result<Encoded, RenderError> {
        let frame = match self {
            Self::Picture(picture) => decode::first_frame(&picture, size, work).map_err(RenderError::Decode)?,
            Self::Middle(middle) => decode::jpeg_frame(&middle),
        };
        render_frame(frame, size).map_err(RenderError::Encode)
    }
}

fn render_frame(frame: Frame, size: u32) -> Result<Encoded, EncodeError> {
    let boxed = shrink::boxed(&frame, size);
    let Frame { profile, orientation, pixels, .. } = frame;
    // What follows has the memory that they had.
    drop(pixels);
    let square = colours::to_srgb(boxed.filtered(), profile.as_deref()).without_needless_alpha();
    encode::encode(&orientation.upright(square))
}

/// Why there is no rendition.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The picture can't be decoded.
    #[error(transparent)]
    Decode(Refusal),
    /// A fault of ours.
    #[error(transparent)]
    Encode(EncodeError),
}

#[cfg(test)]
mod tests;
