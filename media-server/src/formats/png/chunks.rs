//! Chunks of a PNG (W3C PNG, 5.3).

use std::ops::Range;

use crate::formats::{BLOCKS_MAX, ImageError, visits};

pub(super) const SIGNATURE_BYTES: usize = 8;
/// Length, type and CRC.
const OVERHEAD_BYTES: usize = 12;

pub(super) struct PngChunk<'a> {
    pub(super) kind: [u8; 4],
    /// Of the whole chunk.
    pub(super) range: Range<usize>,
    pub(super) data: &'a [u8],
    crc: u32,
}

/// Iterates over up to [`BLOCKS_MAX`] chunks; a truncated one is an error.
pub(super) fn chunks(picture: &[u8]) -> impl Iterator<Item = Result<PngChunk<'_>, ImageError>> {
    let mut at = SIGNATURE_BYTES;
    let next = move || {
        let chunk = PngChunk::read(picture, at)?;
        at = chunk.range.end;
        Ok(chunk)
    };
    std::iter::repeat_with(next).take(BLOCKS_MAX)
}

impl<'a> PngChunk<'a> {
    fn read(picture: &'a [u8], at: usize) -> Result<Self, ImageError> {
        let rest = picture.get(at..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk().ok_or(ImageError::Truncated)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| ImageError::Truncated)?;
        let (kind, rest) = rest.split_first_chunk().ok_or(ImageError::Truncated)?;
        let (data, rest) = rest.split_at_checked(length).ok_or(ImageError::Truncated)?;
        let crc = u32::from_be_bytes(*rest.first_chunk().ok_or(ImageError::Truncated)?);
        visits::add(OVERHEAD_BYTES);
        Ok(Self { kind: *kind, range: at..at + length + OVERHEAD_BYTES, data, crc })
    }

    /// Checks the CRC.
    pub(super) fn check_crc(&self) -> Result<(), ImageError> {
        visits::add(self.range.len());
        if self.crc == crc(self.kind, self.data) {
            Ok(())
        } else {
            Err(ImageError::malformed(format!("the checksum of its {} is wrong", self.kind.escape_ascii())))
        }
    }
}

/// Returns a whole chunk.
pub(super) fn chunk_of(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length, &kind, data, &crc(kind, data).to_be_bytes()].concat()
}

fn crc(kind: [u8; 4], data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&kind);
    hasher.update(data);
    hasher.finalize()
}
