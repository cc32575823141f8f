//! The chunks of a PNG (W3C PNG, 5.3), one after the other.

use std::ops::Range;

use crate::images::{BLOCKS_MAX, Refusal, visits};

pub(super) const SIGNATURE_BYTES: usize = 8;
/// A chunk without its data: length, type and checksum.
const FRAME_BYTES: usize = 12;

pub(super) struct Chunk<'a> {
    pub(super) kind: [u8; 4],
    /// With its length, type and checksum.
    pub(super) range: Range<usize>,
    pub(super) data: &'a [u8],
    checksum: u32,
}

/// As many as a picture may have; an error where one is cut short.
pub(super) fn chunks(picture: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, Refusal>> {
    let mut at = SIGNATURE_BYTES;
    let next = move || {
        let chunk = Chunk::read(picture, at)?;
        at = chunk.range.end;
        Ok(chunk)
    };
    std::iter::repeat_with(next).take(BLOCKS_MAX)
}

impl<'a> Chunk<'a> {
    fn read(picture: &'a [u8], at: usize) -> Result<Self, Refusal> {
        let rest = picture.get(at..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk().ok_or(Refusal::Truncated)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Refusal::Truncated)?;
        let (kind, rest) = rest.split_first_chunk().ok_or(Refusal::Truncated)?;
        let (data, rest) = rest.split_at_checked(length).ok_or(Refusal::Truncated)?;
        let checksum = u32::from_be_bytes(*rest.first_chunk().ok_or(Refusal::Truncated)?);
        visits::add(FRAME_BYTES);
        Ok(Self { kind: *kind, range: at..at + length + FRAME_BYTES, data, checksum })
    }

    /// Refuses a wrong checksum.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        visits::add(self.range.len());
        if self.checksum == crc(self.kind, self.data) {
            Ok(())
        } else {
            Err(Refusal::Broken(format!("the checksum of its {} is wrong", self.kind.escape_ascii())))
        }
    }
}

/// A whole chunk.
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
