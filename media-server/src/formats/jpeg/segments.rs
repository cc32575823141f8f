//! Marker segments of a JPEG (T.81, annex B).

use std::ops::Range;

use crate::formats::{BLOCKS_MAX, ImageError, visits};

pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DHT: u8 = 0xc4;
pub(super) const DRI: u8 = 0xdd;
pub(super) const COM: u8 = 0xfe;
pub(super) const APP0: u8 = 0xe0;
pub(super) const APP1: u8 = 0xe1;
pub(super) const APP2: u8 = 0xe2;
pub(super) const APP14: u8 = 0xee;

pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// Of the whole segment, from the marker's `ff` on.
    pub(super) range: Range<usize>,
    /// Without the length.
    pub(super) data: &'a [u8],
}

/// A segment, and the range of the entropy-coded data after SOS.
pub(super) struct SegmentAndScan<'a> {
    pub(super) segment: Segment<'a>,
    pub(super) coded: Range<usize>,
}

/// Iterates over the segments after SOI. Skips other bytes between them, as decoders do.
pub(super) struct Segments<'a> {
    file: &'a [u8],
    at: usize,
    count: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { file, at: 2, count: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Segment<'a>, ImageError> {
        self.count += 1;
        if self.count > BLOCKS_MAX {
            return Err(ImageError::TooManyBlocks);
        }
        let (start, marker) = self.next_marker()?;
        let after = start + 2;
        let length = match marker {
            // Markers without a segment.
            0x01 | 0xd0..=EOI => 0,
            _ => usize::from(self.u16(after)?),
        };
        if matches!(marker, 0x02..=0xff) && !matches!(marker, 0xd0..=EOI) && length < 2 {
            return Err(ImageError::malformed("a segment length of less than 2"));
        }
        let data = if length == 0 { &[] } else { self.slice(after + 2..after + length)? };
        self.at = after + length;
        visits::add(self.at - start);
        Ok(Segment { marker, range: start..self.at, data })
    }

    /// Skips the entropy-coded data after SOS, restart markers included, and returns its range.
    pub(super) fn entropy_coded(&mut self) -> Result<Range<usize>, ImageError> {
        let start = self.at;
        loop {
            let (marker_at, run_end) = self.next_run()?;
            match self.file.get(run_end) {
                None => return Err(ImageError::Truncated),
                // A stuffed zero byte, or a restart marker.
                Some(0 | 0xd0..=0xd7) => self.at = run_end + 1,
                Some(_) => {
                    self.at = marker_at;
                    return Ok(start..marker_at);
                }
            }
        }
    }

    /// Returns the offset and code of the next marker.
    fn next_marker(&mut self) -> Result<(usize, u8), ImageError> {
        loop {
            let (_, run_end) = self.next_run()?;
            match self.file.get(run_end) {
                None => return Err(ImageError::Truncated),
                Some(0) => self.at = run_end + 1,
                Some(marker) => return Ok((run_end - 1, *marker)),
            }
        }
    }

    /// Returns the start and end of the next run of `ff`; all but its last are fill bytes.
    fn next_run(&self) -> Result<(usize, usize), ImageError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let start = self.at + memchr::memchr(0xff, rest).ok_or(ImageError::Truncated)?;
        let run = self.file.get(start..).unwrap_or_default().iter().take_while(|byte| **byte == 0xff);
        Ok((start, start + run.count()))
    }

    fn u16(&self, at: usize) -> Result<u16, ImageError> {
        match self.file.get(at..) {
            Some([high, low, ..]) => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(ImageError::Truncated),
        }
    }

    fn slice(&self, range: Range<usize>) -> Result<&'a [u8], ImageError> {
        self.file.get(range).ok_or(ImageError::Truncated)
    }
}
