//! The segments of a JPEG (T.81, annex B), one after the other.

use std::ops::Range;

use crate::images::{BLOCKS_MAX, Refusal, visits};

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

/// A marker and what belongs to it.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// From its `ff` to its end.
    pub(super) range: Range<usize>,
    /// What follows its length.
    pub(super) data: &'a [u8],
}

/// Reads the segments after SOI. What stands between two and is none is passed over, as decoders do.
pub(super) struct Segments<'a> {
    picture: &'a [u8],
    at: usize,
    count: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(picture: &'a [u8]) -> Self {
        Self { picture, at: 2, count: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Segment<'a>, Refusal> {
        self.count += 1;
        if self.count > BLOCKS_MAX {
            return Err(Refusal::TooManyBlocks);
        }
        let (start, marker) = self.next_marker()?;
        let after = start + 2;
        let length = match marker {
            // These stand alone.
            0x01 | 0xd0..=EOI => 0,
            _ => usize::from(self.u16(after)?),
        };
        if matches!(marker, 0x02..=0xff) && !matches!(marker, 0xd0..=EOI) && length < 2 {
            return Err(Refusal::Broken("a segment shorter than its length".to_owned()));
        }
        let data = if length == 0 { &[] } else { self.slice(after + 2..after + length)? };
        self.at = after + length;
        visits::add(self.at - start);
        Ok(Segment { marker, range: start..self.at, data })
    }

    /// The entropy-coded data after a scan's header, restart markers included.
    pub(super) fn entropy_coded(&mut self) -> Result<Range<usize>, Refusal> {
        let start = self.at;
        loop {
            let (marker_at, run_end) = self.next_run()?;
            match self.picture.get(run_end) {
                None => return Err(Refusal::Truncated),
                // A stuffed zero, or a restart.
                Some(0 | 0xd0..=0xd7) => self.at = run_end + 1,
                Some(_) => {
                    self.at = marker_at;
                    return Ok(start..marker_at);
                }
            }
        }
    }

    /// Where the `ff` next to the next marker stands, and the marker.
    fn next_marker(&mut self) -> Result<(usize, u8), Refusal> {
        loop {
            let (_, run_end) = self.next_run()?;
            match self.picture.get(run_end) {
                None => return Err(Refusal::Truncated),
                Some(0) => self.at = run_end + 1,
                Some(marker) => return Ok((run_end - 1, *marker)),
            }
        }
    }

    /// Where the next run of `ff` begins and ends: all but its last are fill bytes.
    fn next_run(&self) -> Result<(usize, usize), Refusal> {
        let rest = self.picture.get(self.at..).unwrap_or_default();
        let start = self.at + memchr::memchr(0xff, rest).ok_or(Refusal::Truncated)?;
        let run = self.picture.get(start..).unwrap_or_default().iter().take_while(|byte| **byte == 0xff);
        Ok((start, start + run.count()))
    }

    fn u16(&self, at: usize) -> Result<u16, Refusal> {
        match self.picture.get(at..) {
            Some([high, low, ..]) => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(Refusal::Truncated),
        }
    }

    fn slice(&self, range: Range<usize>) -> Result<&'a [u8], Refusal> {
        self.picture.get(range).ok_or(Refusal::Truncated)
    }
}
