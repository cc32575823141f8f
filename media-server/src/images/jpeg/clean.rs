//! Drops the segments of a JPEG that are not the picture.

use bytes::Bytes;

use super::SCANS_MAX;
use super::segments::{APP0, APP1, APP2, APP14, COM, DHT, DQT, DRI, EOI, SOI, SOS, Segment, Segments};
use crate::images::orientation::{self, EXIF_PREFIX};
use crate::images::rewrite::Rewrite;
use crate::images::{PROFILE_BYTES_MAX, Refusal};

/// The data of a JFIF segment without its thumbnail (T.871, 10.1).
const JFIF_BYTES: usize = 14;
/// The data of Adobe's segment (T.872, 6.5.3).
const ADOBE_BYTES: usize = 12;

/// Keeps the tables, frames and scans, the profile, and what JFIF and Adobe say of the colours; the orientation as an
/// EXIF of its own. Nothing after EOI stays: it is where second pictures are.
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut cleaner = Cleaner { rewrite: Rewrite::new(picture), profile_bytes: 0, is_oriented: false, scans: 0 };
    cleaner.rewrite.keep(0..2);
    let mut segments = Segments::new(picture);
    let mut end = 2;
    loop {
        let segment = segments.next()?;
        let between = picture.get(end..segment.range.start).unwrap_or_default();
        // Before the first scan decoders pass over it; after it they may take it for more of the scan, or not.
        if cleaner.scans > 0 && between.iter().any(|byte| *byte != 0xff) {
            return Err(Refusal::Broken("bytes after a scan that belong to nothing".to_owned()));
        }
        end = segment.range.end;
        match segment.marker {
            EOI if cleaner.scans == 0 => return Err(Refusal::Empty),
            EOI => {
                cleaner.rewrite.keep(segment.range);
                return Ok(cleaner.rewrite.finish());
            }
            SOS => {
                cleaner.scan(&segment)?;
                let coded = segments.entropy_coded()?;
                end = coded.end;
                cleaner.rewrite.keep(coded);
            }
            SOI => return Err(Refusal::Broken("a second start of image".to_owned())),
            0xc0..=0xc2 | DHT | DQT | DRI => cleaner.rewrite.keep(segment.range),
            APP0..=0xef => cleaner.application(segment)?,
            // Restarts outside of a scan, and comments.
            0xd0..=0xd7 | COM => {}
            // Arithmetic codes (TEM is theirs), lossless, hierarchical: no browser shows them.
            0x01 | 0xc3..=0xcf => {
                return Err(Refusal::Broken("neither baseline nor progressive, with Huffman codes".to_owned()));
            }
            marker => return Err(Refusal::Broken(format!("what marker {marker:#04x} says is not known"))),
        }
    }
}

struct Cleaner<'a> {
    rewrite: Rewrite<'a>,
    profile_bytes: usize,
    is_oriented: bool,
    scans: usize,
}

impl Cleaner<'_> {
    fn scan(&mut self, header: &Segment<'_>) -> Result<(), Refusal> {
        self.scans += 1;
        if self.scans > SCANS_MAX {
            return Err(Refusal::Broken(format!("more than {SCANS_MAX} scans")));
        }
        self.rewrite.keep(header.range.clone());
        Ok(())
    }

    fn application(&mut self, segment: Segment<'_>) -> Result<(), Refusal> {
        let Segment { marker, range, data } = segment;
        match marker {
            APP0 if data.starts_with(b"JFIF\0") && data.len() >= JFIF_BYTES => {
                let mut core = data.iter().copied().take(JFIF_BYTES - 2).collect::<Vec<_>>();
                core.extend_from_slice(&[0, 0]);
                self.rewrite.replace(range, segment_of(APP0, &core));
            }
            APP1 if data.starts_with(EXIF_PREFIX) && !self.is_oriented => {
                if let Some(orientation) = orientation::read(data) {
                    self.is_oriented = true;
                    let exif = [EXIF_PREFIX, &orientation::write(orientation)].concat();
                    self.rewrite.replace(range, segment_of(APP1, &exif));
                }
            }
            APP2 if data.starts_with(b"ICC_PROFILE\0") => {
                self.profile_bytes += data.len();
                if self.profile_bytes > PROFILE_BYTES_MAX {
                    return Err(Refusal::ProfileTooLarge);
                }
                self.rewrite.keep(range);
            }
            APP14 if data.starts_with(b"Adobe") && data.len() >= ADOBE_BYTES => {
                let core = data.get(..ADOBE_BYTES).unwrap_or_default();
                self.rewrite.replace(range, segment_of(APP14, core));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A segment with little data.
fn segment_of(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len() + 2).unwrap_or(u8::MAX);
    [&[0xff, marker, 0, length], data].concat()
}
