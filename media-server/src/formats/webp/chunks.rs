//! RIFF chunks of a WebP (RFC 9649, section 2.3).

use std::ops::Range;

use crate::formats::rewrite::Rewrite;
use crate::formats::{BLOCKS_MAX, ImageError, visits};

/// `RIFF`, the size, `WEBP`.
pub(super) const FILE_HEADER_BYTES: usize = 12;
/// Name and length.
pub(super) const CHUNK_HEADER_BYTES: usize = 8;
/// Position, dimensions, duration and flags, before the chunks of an ANMF.
pub(super) const FRAME_HEADER_BYTES: usize = 16;

pub(super) struct RiffChunk<'a> {
    pub(super) name: [u8; 4],
    pub(super) data: &'a [u8],
    /// Of the whole chunk, header and padding included.
    pub(super) range: Range<usize>,
}

/// Iterates over chunks up to `end`.
pub(super) struct RiffChunks<'a> {
    picture: &'a [u8],
    at: usize,
    end: usize,
    count: usize,
}

impl<'a> RiffChunks<'a> {
    /// Iterates over the chunks of a file, which must have the length in its header.
    pub(super) fn of_file(picture: &'a [u8]) -> Result<Self, ImageError> {
        let size = u32_at(picture, 4).ok_or(ImageError::Truncated)?;
        let end = usize::try_from(size).ok().and_then(|size| size.checked_add(8)).ok_or(ImageError::Truncated)?;
        if end > picture.len() {
            return Err(ImageError::Truncated);
        }
        Ok(Self { picture, at: FILE_HEADER_BYTES, end, count: 0 })
    }

    /// Iterates over the chunks of an ANMF.
    pub(super) fn of_frame(picture: &'a [u8], frame: &RiffChunk<'_>) -> Self {
        let data = frame.range.start + CHUNK_HEADER_BYTES;
        Self { picture, at: data + FRAME_HEADER_BYTES, end: data + frame.data.len(), count: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<RiffChunk<'a>>, ImageError> {
        if self.at >= self.end {
            return Ok(None);
        }
        self.count += 1;
        if self.count > BLOCKS_MAX {
            return Err(ImageError::TooManyBlocks);
        }
        let start = self.at;
        let rest = self.picture.get(start..self.end).unwrap_or_default();
        let (name, after) = rest.split_first_chunk().ok_or(ImageError::Truncated)?;
        let (length, after) = after.split_first_chunk().ok_or(ImageError::Truncated)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ImageError::Truncated)?;
        let data = after.get(..length).ok_or(ImageError::Truncated)?;
        visits::add(CHUNK_HEADER_BYTES);
        // The last chunk may lack its padding.
        self.at = (start + CHUNK_HEADER_BYTES + length + length % 2).min(self.end);
        Ok(Some(RiffChunk { name: *name, data, range: start..self.at }))
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    match bytes.get(at..) {
        Some([low, middle, high, ..]) => Some(u32::from_le_bytes([*low, *middle, *high, 0])),
        _ => None,
    }
}

/// Ends the chunk at offset `start` of the output: sets its length, and pads it with 0 to an even length.
pub(super) fn end_chunk(rewrite: &mut Rewrite<'_>, start: usize) -> Result<(), ImageError> {
    let length = rewrite.len() - start - CHUNK_HEADER_BYTES;
    let size = u32::try_from(length).map_err(|_| ImageError::malformed("more than 4 GiB"))?;
    rewrite.patch(start + 4, &size.to_le_bytes());
    if length % 2 == 1 {
        rewrite.put(&[0]);
    }
    Ok(())
}
