//! Metadata stripping of JPEG.
//!
//! Not removed: unused codewords of a used Huffman table, quantization steps of coefficients that are all 0, and data hidden
//! in the coefficients.

use std::ops::Range;

use bytes::Bytes;

use super::SCANS_MAX;
use super::frame::JpegFrame;
use super::segments::{APP0, APP1, APP2, APP14, COM, DHT, DQT, DRI, EOI, SOI, SOS, Segment, SegmentAndScan, Segments};
use super::used_tables::used_tables;
use crate::formats::icc::{self, PixelSpace};
use crate::formats::orientation::{self, EXIF_PREFIX};
use crate::formats::rewrite::Rewrite;
use crate::formats::{ImageError, PROFILE_BYTES_MAX, visits};

/// Length of JFIF's data without the thumbnail (T.871, 10.1).
const JFIF_BYTES: usize = 14;
/// Length of Adobe's data (T.872, 6.5.3).
const ADOBE_BYTES: usize = 12;
/// Followed by a chunk's number and the number of chunks (ICC.1:2022, B.4).
const ICC_PREFIX: &[u8] = b"ICC_PROFILE\0";
const ICC_CHUNK_BYTES_MAX: usize = 0xffff - 2 - ICC_PREFIX.len() - 2;

/// Keeps the frame, the scans with the tables that they use, the ICC profile, JFIF and Adobe without extras, and the
/// orientation as a minimal EXIF. Drops everything after EOI, where embedded second images are. As in decoders, application
/// segments count before the first scan only: the first JFIF and EXIF, and the last Adobe.
pub(in crate::formats) fn strip_metadata(file: &Bytes) -> Result<Bytes, ImageError> {
    let parts = parts(file)?;
    let used = used_tables(&parts)?;
    let mut head = ApplicationSegments::new(&parts)?;
    let mut rewrite = Rewrite::new(file);
    rewrite.keep(0..2);
    for (index, (part, used)) in parts.iter().zip(used).enumerate() {
        let Segment { marker, range, data } = &part.segment;
        match *marker {
            DHT | DQT | DRI if used.is_empty() => {}
            DHT | DQT | DRI if used.iter().map(Range::len).sum::<usize>() == data.len() => rewrite.keep(range.clone()),
            DHT | DQT | DRI => {
                let tables: Vec<&[u8]> = used.into_iter().filter_map(|table| data.get(table)).collect();
                rewrite.put(&segment_of(*marker, &tables));
            }
            APP0..=0xef => rewrite.put(&head.replacement(index, part)),
            // Restart markers outside of a scan, and comments.
            0xd0..=0xd7 | COM => {}
            _ => {
                rewrite.keep(range.clone());
                rewrite.keep(part.coded.clone());
            }
        }
    }
    Ok(rewrite.finish().into_bytes(file))
}

/// Returns the segments up to EOI.
fn parts(file: &[u8]) -> Result<Vec<SegmentAndScan<'_>>, ImageError> {
    let mut parts = Vec::new();
    let mut segments = Segments::new(file);
    let (mut end, mut scans) = (2, 0);
    loop {
        let segment = segments.next()?;
        let between = file.get(end..segment.range.start).unwrap_or_default();
        // Skipped by decoders before the first scan; afterwards some take them for entropy-coded data.
        if scans > 0 && between.iter().any(|byte| *byte != 0xff) {
            return Err(ImageError::malformed("stray bytes after a scan"));
        }
        let marker = segment.marker;
        end = segment.range.end;
        let mut coded = 0..0;
        match marker {
            EOI if scans == 0 => return Err(ImageError::Empty),
            SOS => {
                scans += 1;
                if scans > SCANS_MAX {
                    return Err(ImageError::malformed(format!("more than {SCANS_MAX} scans")));
                }
                coded = segments.entropy_coded()?;
                end = coded.end;
            }
            SOI => return Err(ImageError::malformed("a second SOI")),
            0xc0..=0xc2 | DHT | DQT | DRI | APP0..=0xef | 0xd0..=0xd7 | COM | EOI => {}
            // Arithmetic coding (TEM included), lossless, hierarchical: no browser shows them.
            0x01 | 0xc3..=0xcf => {
                return Err(ImageError::malformed("neither baseline nor progressive with Huffman coding"));
            }
            marker => return Err(ImageError::malformed(format!("unknown marker {marker:#04x}"))),
        }
        parts.push(SegmentAndScan { segment, coded });
        if marker == EOI {
            return Ok(parts);
        }
    }
}

/// Indices of the application segments that count.
struct ApplicationSegments {
    jfif: Option<usize>,
    adobe: Option<usize>,
    exif: Option<usize>,
    profile: Option<usize>,
    /// The reduced profile, written in place of the first chunk.
    profile_segments: Vec<u8>,
}

impl ApplicationSegments {
    fn new(parts: &[SegmentAndScan<'_>]) -> Result<Self, ImageError> {
        let end = parts.iter().position(|part| part.segment.marker == SOS).unwrap_or(parts.len());
        let head = parts.get(..end).unwrap_or_default();
        let is = |marker: u8, prefix: &'static [u8], bytes: usize| {
            move |SegmentAndScan { segment, .. }: &SegmentAndScan<'_>| {
                segment.marker == marker && segment.data.starts_with(prefix) && segment.data.len() >= bytes
            }
        };
        let is_icc = is(APP2, ICC_PREFIX, ICC_PREFIX.len() + 2);
        let frame = head.iter().find(|part| matches!(part.segment.marker, 0xc0..=0xc2)).ok_or(ImageError::Empty)?;
        let pixels = match JpegFrame::parse(frame.segment.marker, frame.segment.data)?.components.len() {
            1 => PixelSpace::Gray,
            3 => PixelSpace::Rgb,
            _ => PixelSpace::Cmyk,
        };
        let profile = profile(head.iter().filter(|part| is_icc(part)).map(|part| part.segment.data))?;
        Ok(Self {
            jfif: head.iter().position(is(APP0, b"JFIF\0", JFIF_BYTES)),
            adobe: head.iter().rposition(is(APP14, b"Adobe", ADOBE_BYTES)),
            exif: head.iter().position(is(APP1, EXIF_PREFIX, 0)),
            profile: head.iter().position(is_icc),
            profile_segments: profile
                .and_then(|profile| icc::reduced(&profile, pixels))
                .map_or_else(Vec::new, |profile| split(&profile)),
        })
    }

    /// Returns the replacement of the application segment at `index`.
    fn replacement(&mut self, index: usize, part: &SegmentAndScan<'_>) -> Vec<u8> {
        let (index, data) = (Some(index), part.segment.data);
        if index == self.jfif {
            segment_of(APP0, &[data.get(..JFIF_BYTES - 2).unwrap_or_default(), &[0, 0]])
        } else if index == self.adobe {
            // Version and flags are not read by decoders; the last byte is the color transform.
            segment_of(APP14, &[b"Adobe\0\x64\0\0\0\0", data.get(11..ADOBE_BYTES).unwrap_or_default()])
        } else if index == self.exif {
            let exif = |orientation| segment_of(APP1, &[EXIF_PREFIX, &orientation::write(orientation)]);
            orientation::read(data).map_or_else(Vec::new, exif)
        } else if index == self.profile {
            std::mem::take(&mut self.profile_segments)
        } else {
            Vec::new()
        }
    }
}

/// Joins the chunks of an ICC profile; `None` if one is missing or duplicated, as in libjpeg.
fn profile<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Option<Vec<u8>>, ImageError> {
    if parts.clone().map(<[u8]>::len).sum::<usize>() > PROFILE_BYTES_MAX {
        return Err(ImageError::ProfileTooLarge);
    }
    let mut parts: Vec<_> = parts
        .inspect(|part| visits::add(part.len()))
        .filter_map(|data| data.strip_prefix(ICC_PREFIX)?.split_first_chunk::<2>())
        .collect();
    parts.sort_by_key(|([number, _], _)| *number);
    let count = parts.len();
    let is_in_place =
        |(number, ([own, all], _)): (usize, &(&[u8; 2], _))| usize::from(*own) == number && usize::from(*all) == count;
    let is_whole = count > 0 && (1..).zip(&parts).all(is_in_place);
    Ok(is_whole.then(|| parts.iter().flat_map(|(_, part)| *part).copied().collect()))
}

/// Returns the APP2 segments of a profile.
fn split(profile: &[u8]) -> Vec<u8> {
    let parts = profile.chunks(ICC_CHUNK_BYTES_MAX);
    let count = u8::try_from(parts.len()).unwrap_or(u8::MAX);
    (1..=count).zip(parts).flat_map(|(number, part)| segment_of(APP2, &[ICC_PREFIX, &[number, count], part])).collect()
}

/// Returns a segment of less than 64 KiB of data.
fn segment_of(marker: u8, data: &[&[u8]]) -> Vec<u8> {
    let data = data.concat();
    let [high, low] = u16::try_from(data.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    [&[0xff, marker, high, low], &data[..]].concat()
}
