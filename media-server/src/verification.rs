//! Verification of uploads: strips metadata, decodes all of an image, and checks that it can have a rendition.

use bytes::Bytes;
use shared::http::body::BufferedBody;

use crate::decode_pool::{DecodeError, DecodePool, Worker};
use crate::formats::{self, PictureLimits, ScaledCrop, VerifiedImage};
use crate::renditions::RenderInput;

/// Most memory of a [`ScaledCrop`] that is kept until its rendition is made, in bytes; one is kept at a time.
const CROP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Verifies uploads on the decode pool.
#[derive(Debug)]
pub struct Verifier {
    pool: DecodePool,
    limits: PictureLimits,
    largest_rendition: u32,
}

impl Verifier {
    /// Refuses images whose rendition of `largest_rendition` pixels would exceed the memory budget.
    pub fn new(pool: DecodePool, limits: PictureLimits, largest_rendition: u32) -> Self {
        Self { pool, limits, largest_rendition }
    }

    /// Strips metadata from an image and decodes it in full. The bytes of the result hold the body's memory permit. With
    /// `crop_size`, the input of a rendition of that size is kept, too, where it takes little memory.
    pub async fn verify(
        &self,
        mut body: BufferedBody,
        crop_size: Option<u32>,
    ) -> Result<(VerifiedImage, Option<ScaledCrop>), DecodeError> {
        let (limits, largest_rendition) = (self.limits, self.largest_rendition);
        let verify = move |worker: &Worker| {
            let bytes = std::mem::take(&mut body.bytes);
            let (verified, crop) = verify(bytes, limits, largest_rendition, crop_size, worker)?;
            body.bytes = verified.bytes;
            Ok((VerifiedImage { kind: verified.kind, bytes: Bytes::from_owner(BodyBytes(body)) }, crop))
        };
        self.pool.run(verify).await
    }
}

fn verify(
    bytes: Bytes,
    limits: PictureLimits,
    largest_rendition: u32,
    crop_size: Option<u32>,
    worker: &Worker,
) -> Result<(VerifiedImage, Option<ScaledCrop>), DecodeError> {
    let stripped = formats::strip_metadata(&bytes)?;
    // Stripping may have copied it.
    drop(bytes);
    let needed_bytes = stripped.memory_bytes(limits)?;
    worker.check_memory(RenderInput::Original(stripped.bytes().clone()).memory_bytes(largest_rendition)?)?;
    let crop = crop_size.and_then(|size| Some((size, stripped.crop_memory_bytes(size)?)));
    let fits = |bytes: u64| bytes <= CROP_BYTES_MAX && worker.check_memory(needed_bytes + bytes).is_ok();
    if let Some((size, crop_bytes)) = crop.filter(|(_, bytes)| fits(*bytes)) {
        let _permit = worker.reserve(needed_bytes + crop_bytes)?;
        let (verified, crop) = stripped.verify_and_crop(size, &mut worker.work())?;
        return Ok((verified, Some(crop)));
    }
    let _permit = worker.reserve(needed_bytes)?;
    Ok((stripped.verify(&mut worker.work())?, None))
}

/// Bytes of a body that hold its memory permit until the last reference is dropped: a decoder or the disk may use them
/// after the client has disconnected.
struct BodyBytes(BufferedBody);

impl AsRef<[u8]> for BodyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
