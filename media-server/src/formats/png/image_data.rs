//! Image data of a PNG (W3C PNG, 10): a zlib stream (RFC 1950) of filtered rows, over several chunks.
//!
//! Not removed: unused codewords, padding and empty blocks of the deflate stream before the last row.

use fdeflate::Decompressor;
use simd_adler32::Adler32;

use super::header::{Header, Pass};
use crate::formats::ImageError;
use crate::formats::work::Work;

/// The most that [`ImageData`] allocates, in bytes.
pub(super) const MEMORY_BYTES: u64 = 256 * 1024;

/// The largest distance in deflate.
const WINDOW_BYTES: usize = 32 * 1024;
const BUFFER_BYTES: usize = 4 * WINDOW_BYTES;

/// The most compressed bytes after the last row: the end of its block, the empty blocks of a flush, the checksum. More could
/// hide other data.
const END_BYTES_MAX: usize = 32;

/// Compressed bytes read at a time after the last row, to count them.
const STEP_BYTES: usize = 8;

/// Bytes of rows per step of work.
const BYTES_PER_STEP: u64 = 8;

const CHECKSUM_BYTES: usize = 4;

/// Inflates one image.
pub(super) struct ImageData {
    inflater: Decompressor,
    checksum: Adler32,
    /// The window, and decompressed bytes up to `filled`.
    buffer: Vec<u8>,
    filled: usize,
    rows: Rows,
    /// The last compressed bytes read.
    tail: Vec<u8>,
    /// Compressed bytes after the last row.
    end_bytes: usize,
}

impl ImageData {
    pub(super) fn new(header: &Header) -> Self {
        let mut inflater = Decompressor::new();
        // Checked in `end`, to find the end of the stream.
        inflater.ignore_adler32();
        Self {
            inflater,
            checksum: Adler32::new(),
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            rows: Rows::new(header.passes()),
            tail: Vec::new(),
            end_bytes: 0,
        }
    }

    /// Inflates a chunk's data; returns the number of bytes that belong to the stream.
    pub(super) fn push(&mut self, compressed: &[u8], work: &mut Work) -> Result<usize, ImageError> {
        let (mut data, mut read) = (compressed, 0);
        while !self.inflater.is_done() {
            let rows_left = usize::try_from(self.rows.bytes_left).unwrap_or(usize::MAX);
            if self.filled == self.buffer.len() {
                self.buffer.copy_within(self.filled - WINDOW_BYTES.., 0);
                self.filled = WINDOW_BYTES;
            }
            let (room, step) = match rows_left.checked_sub(1) {
                Some(room @ 1..) => (room, data.len()),
                // After the last row: one byte, to detect surplus rows.
                _ => (1, data.len().min(STEP_BYTES)),
            };
            let end = self.buffer.len().min(self.filled.saturating_add(room));
            let room = self.buffer.get_mut(..end).unwrap_or_default();
            let (consumed, produced) = self
                .inflater
                .read(data.get(..step).unwrap_or_default(), room, self.filled, false)
                .map_err(|error| ImageError::malformed(format!("zlib stream: {error:?}")))?;
            let rows = self.buffer.get(self.filled..self.filled + produced).unwrap_or_default();
            self.checksum.write(rows);
            self.rows.check(rows)?;
            self.filled += produced;
            work.spend(1 + produced as u64 / BYTES_PER_STEP)?;
            data = data.get(consumed..).unwrap_or_default();
            read += consumed;
            if rows_left == 0 {
                self.end_bytes += consumed;
            }
            if self.end_bytes > END_BYTES_MAX {
                return Err(surplus());
            }
            if consumed == 0 && produced == 0 {
                break;
            }
        }
        self.remember(compressed.get(..read).unwrap_or_default());
        match self.inflater.is_done() {
            true if read > 0 => self.end(read),
            false if read < compressed.len() => Err(surplus()),
            _ => Ok(read),
        }
    }

    /// Checks that no rows are missing.
    pub(super) fn finish(&self) -> Result<(), ImageError> {
        if self.rows.bytes_left > 0 { Err(ImageError::Truncated) } else { Ok(()) }
    }

    /// The inflater reads up to three bytes past the checksum. Returns how many of the last `read` bytes are before its end.
    fn end(&self, read: usize) -> Result<usize, ImageError> {
        let checksum = self.checksum.finish().to_be_bytes();
        (0..CHECKSUM_BYTES)
            .find(|past| {
                let end = self.tail.len().checked_sub(*past);
                end.and_then(|end| self.tail.get(..end)).is_some_and(|tail| tail.ends_with(&checksum))
            })
            .map(|past| read.saturating_sub(past))
            .ok_or_else(|| ImageError::malformed("a wrong checksum of a zlib stream"))
    }

    /// Keeps the last bytes, which include the checksum.
    fn remember(&mut self, compressed: &[u8]) {
        const BYTES: usize = 2 * CHECKSUM_BYTES;
        let last = compressed.get(compressed.len().saturating_sub(BYTES)..).unwrap_or_default();
        let surplus = (self.tail.len() + last.len()).saturating_sub(BYTES);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(last);
    }
}

/// Checks the filter type at the start of each row.
struct Rows {
    passes: std::vec::IntoIter<Pass>,
    pass: Pass,
    /// Of the current row.
    row_bytes_left: u64,
    /// Of the whole image.
    bytes_left: u64,
}

impl Rows {
    fn new(passes: Vec<Pass>) -> Self {
        let bytes_left = passes.iter().map(|(row_bytes, rows)| row_bytes * u64::from(*rows)).sum();
        Self { passes: passes.into_iter(), pass: (0, 0), row_bytes_left: 0, bytes_left }
    }

    fn check(&mut self, mut bytes: &[u8]) -> Result<(), ImageError> {
        while let Some(filter) = bytes.first() {
            if self.bytes_left == 0 {
                return Err(surplus());
            }
            if self.row_bytes_left == 0 {
                if *filter > 4 {
                    return Err(ImageError::malformed("an unknown filter type"));
                }
                if self.pass.1 == 0 {
                    self.pass = self.passes.next().unwrap_or_default();
                }
                self.pass.1 = self.pass.1.saturating_sub(1);
                self.row_bytes_left = self.pass.0;
            }
            let now = bytes.len().min(usize::try_from(self.row_bytes_left).unwrap_or(usize::MAX));
            bytes = bytes.get(now..).unwrap_or_default();
            self.row_bytes_left -= now as u64;
            self.bytes_left -= now as u64;
        }
        Ok(())
    }
}

fn surplus() -> ImageError {
    ImageError::malformed("data after the last row")
}
