//! The compressed image data of a PNG (W3C PNG, 10): a zlib stream (RFC 1950) of filtered rows, over several chunks.
//!
//! Inflating it and looking at the rows' filter types finds all that is broken; no pixels are made. Not looked for: unused
//! codewords, padding and empty blocks of the deflate stream before the last row.

use fdeflate::Decompressor;
use simd_adler32::Adler32;

use super::header::{Header, Pass};
use crate::images::Refusal;
use crate::images::work::Work;

/// What [`ImageData`] allocates at most, in bytes.
pub(super) const MEMORY_BYTES: u64 = 256 * 1024;

/// How far back deflate refers.
const WINDOW_BYTES: usize = 32 * 1024;
const BUFFER_BYTES: usize = 4 * WINDOW_BYTES;

/// The most compressed bytes after the last row: the end of its block, the empty blocks of a flush, the checksum. More
/// would be room for other data.
const END_BYTES_MAX: usize = 32;

/// From the last byte of the rows on compressed data is read in steps, so that what follows it is counted.
const STEP_BYTES: usize = 8;

/// Rows' bytes that take a step of the work budget.
const BYTES_PER_STEP: u64 = 8;

const CHECKSUM_BYTES: usize = 4;

/// An image that is being inflated.
pub(super) struct ImageData {
    inflater: Decompressor,
    checksum: Adler32,
    /// The last decompressed bytes, up to `filled`.
    buffer: Vec<u8>,
    filled: usize,
    rows: Rows,
    /// The last compressed bytes.
    tail: Vec<u8>,
    /// Compressed bytes after the last row.
    end_bytes: usize,
}

impl ImageData {
    pub(super) fn new(header: &Header) -> Self {
        let mut inflater = Decompressor::new();
        // Checked here, which shows where the stream ends.
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

    /// Inflates a chunk's data; returns how much of it belongs to the stream.
    pub(super) fn push(&mut self, compressed: &[u8], work: &mut Work) -> Result<usize, Refusal> {
        let (mut data, mut read) = (compressed, 0);
        while !self.inflater.is_done() {
            let rows_left = usize::try_from(self.rows.bytes_left).unwrap_or(usize::MAX);
            if self.filled == self.buffer.len() {
                self.buffer.copy_within(self.filled - WINDOW_BYTES.., 0);
                self.filled = WINDOW_BYTES;
            }
            let (room, step) = match rows_left.checked_sub(1) {
                Some(room @ 1..) => (room, data.len()),
                // Past the last row there is room for a byte, to see whether there is one.
                _ => (1, data.len().min(STEP_BYTES)),
            };
            let end = self.buffer.len().min(self.filled.saturating_add(room));
            let room = self.buffer.get_mut(..end).unwrap_or_default();
            let (consumed, produced) = self
                .inflater
                .read(data.get(..step).unwrap_or_default(), room, self.filled, false)
                .map_err(|error| Refusal::Broken(format!("its compressed data: {error:?}")))?;
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

    /// Refuses an image of which rows are missing.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.rows.bytes_left > 0 { Err(Refusal::Truncated) } else { Ok(()) }
    }

    /// The inflater reads up to three bytes past the checksum: returns how many bytes of the last `read` ones are not past.
    fn end(&self, read: usize) -> Result<usize, Refusal> {
        let checksum = self.checksum.finish().to_be_bytes();
        (0..CHECKSUM_BYTES)
            .find(|past| {
                let end = self.tail.len().checked_sub(*past);
                end.and_then(|end| self.tail.get(..end)).is_some_and(|tail| tail.ends_with(&checksum))
            })
            .map(|past| read.saturating_sub(past))
            .ok_or_else(|| Refusal::Broken("the checksum of its compressed data is wrong".to_owned()))
    }

    /// Keeps the last bytes among which the checksum is.
    fn remember(&mut self, compressed: &[u8]) {
        const BYTES: usize = 2 * CHECKSUM_BYTES;
        let last = compressed.get(compressed.len().saturating_sub(BYTES)..).unwrap_or_default();
        let surplus = (self.tail.len() + last.len()).saturating_sub(BYTES);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend_from_slice(last);
    }
}

/// Where the rows begin, each with its filter's type.
struct Rows {
    passes: std::vec::IntoIter<Pass>,
    pass: Pass,
    /// Of the row that is being read.
    row_bytes_left: u64,
    /// Of the whole image.
    bytes_left: u64,
}

impl Rows {
    fn new(passes: Vec<Pass>) -> Self {
        let bytes_left = passes.iter().map(|(row_bytes, rows)| row_bytes * u64::from(*rows)).sum();
        Self { passes: passes.into_iter(), pass: (0, 0), row_bytes_left: 0, bytes_left }
    }

    fn check(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while let Some(filter) = bytes.first() {
            if self.bytes_left == 0 {
                return Err(surplus());
            }
            if self.row_bytes_left == 0 {
                if *filter > 4 {
                    return Err(Refusal::Broken("a row of a filter that is not known".to_owned()));
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

fn surplus() -> Refusal {
    Refusal::Broken("compressed data after its last row".to_owned())
}
