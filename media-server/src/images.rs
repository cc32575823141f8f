//! What a picture is: its kind by its content, cleaned of what it tells about a person, and decoded in full within limits.
//!
//! Nothing here trusts a name or a `Content-Type`. A file for each kind, each with three functions: `clean` rewrites the
//! container and never the pixels' data, `memory_bytes` is what decoding will take, `decode` verifies that all of it can be
//! decoded, trims what follows the end of compressed data, and keeps no pixels.
//!
//! Own decoders, each for a reason:
//! - JPEG: no crate in safe Rust refuses files that were cut, and scaled decoding of a center crop is what makes a rendition
//!   fast.
//! - VP8L and VP8 (`webp`), LZW (`gif/lzw.rs`): a verifier that keeps no pixels is bounded in memory, counts its work, and
//!   finds the bit at which the stream ends.
//!
//! No crate is left to clean with: `img-parts` knows no GIF, keeps all that it is not told to drop, and has no limits;
//! `little_exif` removes EXIF alone.

mod gif;
pub(crate) mod icc;
pub(crate) mod jpeg;
pub(crate) mod orientation;
mod png;
mod rewrite;
mod visits;
pub(crate) mod webp;
pub mod work;

use std::fmt::Display;

use bytes::Bytes;
use shared::media_api::ImageKind;

use work::Work;

pub use icc::PROFILE_BYTES_MAX;
pub use jpeg::Middle;

/// What a picture may cost to decode.
#[derive(Clone, Copy, Debug)]
pub struct PictureLimits {
    /// Width × height × frames.
    pub pixels_max: u64,
}

/// The longest side of a picture, in pixels: what JPEG and GIF can express; a longer PNG would only be a long row to hold.
pub const SIDE_PIXELS_MAX: u32 = 65_535;

/// The most segments, chunks or blocks of a picture. One of 10 MB in chunks of 8 kB has 1,300.
pub const BLOCKS_MAX: usize = 65_536;

/// Why a picture is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its first bytes are of no kind that is taken.
    #[error("neither JPEG, PNG, GIF nor WebP")]
    UnknownKind,
    /// A side is 0, or longer than [`SIDE_PIXELS_MAX`].
    #[error("its sides are not between 1 and {SIDE_PIXELS_MAX} pixels")]
    Sides,
    /// More than [`PictureLimits::pixels_max`].
    #[error("more than {0} pixels, all frames counted")]
    TooManyPixels(u64),
    /// More than [`BLOCKS_MAX`].
    #[error("more than {BLOCKS_MAX} segments, chunks or blocks")]
    TooManyBlocks,
    /// More than [`PROFILE_BYTES_MAX`].
    #[error("a colour profile of more than {PROFILE_BYTES_MAX} bytes")]
    ProfileTooLarge,
    /// More than all decodings together may take.
    #[error("decoding it takes {needed_bytes} bytes of memory, and {max_bytes} there are")]
    TooMuchMemory {
        /// What it would take.
        needed_bytes: u64,
        /// What all share.
        max_bytes: u64,
    },
    /// More than a picture of its pixels and bytes may take.
    #[error("decoding it takes more than {budget} steps, the most for its pixels and bytes")]
    TooMuchWork {
        /// The steps it may take.
        budget: u64,
    },
    /// Its outcome is no longer awaited.
    #[error("decoding it was stopped")]
    Stopped,
    /// It ends too early.
    #[error("it is cut short")]
    Truncated,
    /// It holds no frame.
    #[error("it holds no picture")]
    Empty,
    /// What its decoder says.
    #[error("{0}")]
    Broken(String),
}

/// What a decoder says is cut to this many characters: some repeat what they read.
const REASON_CHARS_MAX: usize = 200;

impl Refusal {
    pub(crate) fn broken(error: impl Display) -> Self {
        Self::Broken(error.to_string().chars().take(REASON_CHARS_MAX).collect())
    }
}

/// A picture without what is not the picture. Not decoded yet.
#[derive(Clone, Debug)]
pub struct Cleaned {
    kind: ImageKind,
    bytes: Bytes,
}

/// A picture that was decoded in full, as it is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its kind.
    pub kind: ImageKind,
    /// Its bytes: those that came, where nothing was to be dropped.
    pub bytes: Bytes,
}

/// The kind that the first bytes of a picture tell; 12 are enough.
pub fn kind(start: &[u8]) -> Option<ImageKind> {
    match start {
        [0xff, 0xd8, 0xff, ..] => Some(ImageKind::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(ImageKind::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(ImageKind::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageKind::Webp),
        _ => None,
    }
}

/// Drops what is not the picture: metadata, comments, thumbnails, what follows the end. Orientation, colour profile,
/// gamma, transparency and animation stay, and so does every bit of the pixels' data. A clean picture is not copied. Takes
/// a millisecond for a megabyte, and a copy's memory. What follows the end of compressed data is left to
/// [`Cleaned::decode`], which finds that end.
pub fn clean(picture: &Bytes) -> Result<Cleaned, Refusal> {
    let kind = kind(picture).ok_or(Refusal::UnknownKind)?;
    let bytes = match kind {
        ImageKind::Jpeg => jpeg::clean(picture),
        ImageKind::Png => png::clean(picture),
        ImageKind::Gif => gif::clean(picture),
        ImageKind::Webp => webp::clean(picture),
    }?;
    Ok(Cleaned { kind, bytes })
}

impl Cleaned {
    /// The picture's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What [`Self::decode`] takes of memory, in bytes; what is larger than `limits` is refused.
    pub fn memory_bytes(&self, limits: PictureLimits) -> Result<u64, Refusal> {
        let decoder = match self.kind {
            ImageKind::Jpeg => jpeg::memory_bytes(&self.bytes, limits),
            ImageKind::Png => png::memory_bytes(&self.bytes, limits),
            ImageKind::Gif => gif::memory_bytes(&self.bytes, limits),
            ImageKind::Webp => webp::memory_bytes(&self.bytes, limits),
        }?;
        // Where data after the end of a compressed stream is trimmed: a copy of the image, and one of the file.
        Ok(decoder + 2 * self.bytes.len() as u64)
    }

    /// What [`Self::decode_for`] keeps, in bytes, and what making pixels of that takes; none where it keeps nothing.
    pub fn middle_memory_bytes(&self, size: u32) -> Option<u64> {
        match self.kind {
            ImageKind::Jpeg => jpeg::middle_memory_bytes(&self.bytes, size).ok().map(|(bytes, ..)| bytes),
            _ => None,
        }
    }

    /// Decodes a JPEG like [`Self::decode`] does, and keeps what a square of `size` pixels is made of.
    pub fn decode_for(self, size: u32, work: &mut Work) -> Result<(Accepted, Middle), Refusal> {
        let (bytes, middle) = jpeg::decode_for(&self.bytes, size, work)?;
        Ok((Accepted { kind: self.kind, bytes }, middle))
    }

    /// Decodes all frames, and drops what follows the end of their compressed data. Takes tens of milliseconds for ten
    /// megapixels: call it on a thread of [`crate::decode_pool`], after [`Self::memory_bytes`].
    pub fn decode(self, work: &mut Work) -> Result<Accepted, Refusal> {
        let bytes = match self.kind {
            ImageKind::Jpeg => jpeg::decode(&self.bytes, work),
            ImageKind::Png => png::decode(&self.bytes, work),
            ImageKind::Gif => gif::decode(&self.bytes, work),
            ImageKind::Webp => webp::decode(&self.bytes, work),
        }?;
        Ok(Accepted { kind: self.kind, bytes })
    }
}

/// Cleans and decodes a picture whatever memory it takes, for who decodes one at a time.
pub fn accept(picture: &Bytes, limits: PictureLimits) -> Result<Accepted, Refusal> {
    let cleaned = clean(picture)?;
    cleaned.memory_bytes(limits)?;
    cleaned.decode(&mut Work::default())
}

/// Refuses a picture by its size, before any of it is decoded.
fn check_size(width: u32, height: u32, frames: u32, limits: PictureLimits) -> Result<(), Refusal> {
    let sides = 1..=SIDE_PIXELS_MAX;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(Refusal::Sides);
    }
    let pixels = u64::from(width) * u64::from(height);
    match pixels.checked_mul(u64::from(frames)) {
        Some(pixels) if pixels <= limits.pixels_max => Ok(()),
        _ => Err(Refusal::TooManyPixels(limits.pixels_max)),
    }
}

/// The sample nearest to `value`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
pub(crate) fn rounded(value: f32) -> u8 {
    (value + 0.5) as u8
}

#[cfg(test)]
mod tests;
