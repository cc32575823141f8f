//! The chunks of a WebP (RFC 9649, section 2.3), one after the other.

use std::ops::Range;

use crate::images::rewrite::Rewrite;
use crate::images::{BLOCKS_MAX, Refusal, visits};

/// Before the first chunk: `RIFF`, the size, `WEBP`.
pub(super) const FILE_HEADER_BYTES: usize = 12;
/// Before a chunk's data: its name and its length.
pub(super) const CHUNK_HEADER_BYTES: usize = 8;
/// Before the chunks of an animation's frame: where it is drawn, and for how long.
pub(super) const FRAME_HEADER_BYTES: usize = 16;

pub(super) struct Chunk<'a> {
    pub(super) name: [u8; 4],
    pub(super) data: &'a [u8],
    /// With its header and what pads it.
    pub(super) range: Range<usize>,
}

/// Reads chunks until `end`.
pub(super) struct Chunks<'a> {
    picture: &'a [u8],
    at: usize,
    end: usize,
    count: usize,
}

impl<'a> Chunks<'a> {
    /// Those of a whole file, which must be as long as it says.
    pub(super) fn of_file(picture: &'a [u8]) -> Result<Self, Refusal> {
        let size = u32_at(picture, 4).ok_or(Refusal::Truncated)?;
        let end = usize::try_from(size).ok().and_then(|size| size.checked_add(8)).ok_or(Refusal::Truncated)?;
        if end > picture.len() {
            return Err(Refusal::Truncated);
        }
        Ok(Self { picture, at: FILE_HEADER_BYTES, end, count: 0 })
    }

    /// Those of an animation's frame.
    pub(super) fn of_frame(picture: &'a [u8], frame: &Chunk<'_>) -> Self {
        let data = frame.range.start + CHUNK_HEADER_BYTES;
        Self { picture, at: data + FRAME_HEADER_BYTES, end: data + frame.data.len(), count: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Chunk<'a>>, Refusal> {
        if self.at >= self.end {
            return Ok(None);
        }
        self.count += 1;
        if self.count > BLOCKS_MAX {
            return Err(Refusal::TooManyBlocks);
        }
        let start = self.at;
        let rest = self.picture.get(start..self.end).unwrap_or_default();
        let (name, after) = rest.split_first_chunk().ok_or(Refusal::Truncated)?;
        let (length, after) = after.split_first_chunk().ok_or(Refusal::Truncated)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Refusal::Truncated)?;
        let data = after.get(..length).ok_or(Refusal::Truncated)?;
        visits::add(CHUNK_HEADER_BYTES);
        // The last one may come without what pads it.
        self.at = (start + CHUNK_HEADER_BYTES + length + length % 2).min(self.end);
        Ok(Some(Chunk { name: *name, data, range: start..self.at }))
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A number of three bytes.
pub(super) fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    match bytes.get(at..) {
        Some([low, middle, high, ..]) => Some(u32::from_le_bytes([*low, *middle, *high, 0])),
        _ => None,
    }
}

/// Ends a chunk whose header stands at `start` of the output: its size becomes that of what has been appended since, and
/// what pads it to an even length is 0.
pub(super) fn end_chunk(rewrite: &mut Rewrite<'_>, start: usize) -> Result<(), Refusal> {
    let length = rewrite.len() - start - CHUNK_HEADER_BYTES;
    let size = u32::try_from(length).map_err(|_| Refusal::Broken("larger than can be".to_owned()))?;
    rewrite.patch(start + 4, &size.to_le_bytes());
    if length % 2 == 1 {
        rewrite.put(&[0]);
    }
    Ok(())
}
