//! What a picture is: its kind by its content, and a full decode of every frame within limits.
//!
//! Nothing here trusts a name or a `Content-Type`, and nothing keeps pixels: they are decoded to see that they can be.
//! The decoders are called directly and not through the `image` crate, whose JPEG decoder lets truncated files pass and
//! whose `from_decoder` ignores its own limits; here GIF and PNG are decoded in a few rows' memory.

mod gif;
mod jpeg;
mod png;
mod webp;

use std::fmt::Display;

use shared::media_api::ImageKind;

/// What a picture may cost to decode.
#[derive(Clone, Copy, Debug)]
pub struct PictureLimits {
    /// Width × height × frames.
    pub pixels_max: u64,
}

/// The longest side of a picture, in pixels: what JPEG and GIF can express; a longer PNG would only be a long row to hold.
pub const SIDE_PIXELS_MAX: u32 = 65_535;

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
    fn broken(error: impl Display) -> Self {
        Self::Broken(error.to_string().chars().take(REASON_CHARS_MAX).collect())
    }
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

/// Decodes all frames of `picture`, and tells its kind. Takes tens of milliseconds for ten megapixels: call it on a
/// thread of [`crate::decoding`].
pub fn check(picture: &[u8], limits: PictureLimits) -> Result<ImageKind, Refusal> {
    let kind = kind(picture).ok_or(Refusal::UnknownKind)?;
    match kind {
        ImageKind::Jpeg => jpeg::check(picture, limits),
        ImageKind::Png => png::check(picture, limits),
        ImageKind::Gif => gif::check(picture, limits),
        ImageKind::Webp => webp::check(picture, limits),
    }?;
    Ok(kind)
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

#[cfg(test)]
mod tests;
