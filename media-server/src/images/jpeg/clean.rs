//! Metadata stripping of JPEG: drops the segments that are not the picture.
//!
//! Not looked for: codewords of a Huffman table that no scan uses, steps of a quantization table whose coefficients are all
//! 0, and what the coefficients themselves may hold.

use std::ops::Range;

use bytes::Bytes;

use super::SCANS_MAX;
use super::frame::Frame;
use super::segments::{APP0, APP1, APP2, APP14, COM, DHT, DQT, DRI, EOI, SOI, SOS, Segment, Segments};
use super::used_tables::used_tables;
use crate::images::icc::{self, PixelSpace};
use crate::images::orientation::{self, EXIF_PREFIX};
use crate::images::rewrite::Rewrite;
use crate::images::{PROFILE_BYTES_MAX, Refusal, visits};

/// The data of a JFIF segment without its thumbnail (T.871, 10.1).
const JFIF_BYTES: usize = 14;
/// The data of Adobe's segment (T.872, 6.5.3).
const ADOBE_BYTES: usize = 12;
/// Before a part of a profile: this, its number, and how many there are (ICC.1:2022, B.4).
const ICC_PREFIX: &[u8] = b"ICC_PROFILE\0";
const ICC_PART_BYTES_MAX: usize = 0xffff - 2 - ICC_PREFIX.len() - 2;

/// Keeps the frame, the scans, the tables that they use, the profile, and what JFIF and Adobe say of the colours; the
/// orientation as an EXIF of its own. Nothing after EOI stays: it is where second pictures are. Application segments count
/// before the first scan only, where decoders read them: the first JFIF and EXIF, and the last of Adobe.
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let parts = parts(picture)?;
    let used = used_tables(&parts)?;
    let mut head = Head::new(&parts)?;
    let mut rewrite = Rewrite::new(picture);
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
            APP0..=0xef => rewrite.put(&head.application(index, part)),
            // Restarts outside of a scan, and comments.
            0xd0..=0xd7 | COM => {}
            _ => {
                rewrite.keep(range.clone());
                rewrite.keep(part.coded.clone());
            }
        }
    }
    Ok(rewrite.finish().into_bytes(picture))
}

/// A segment and, of a scan, where its entropy-coded data stands.
pub(super) struct Part<'a> {
    pub(super) segment: Segment<'a>,
    pub(super) coded: Range<usize>,
}

/// All up to EOI.
fn parts(picture: &[u8]) -> Result<Vec<Part<'_>>, Refusal> {
    let mut parts = Vec::new();
    let mut segments = Segments::new(picture);
    let (mut end, mut scans) = (2, 0);
    loop {
        let segment = segments.next()?;
        let between = picture.get(end..segment.range.start).unwrap_or_default();
        // Before the first scan decoders pass over it; after it they may take it for more of the scan, or not.
        if scans > 0 && between.iter().any(|byte| *byte != 0xff) {
            return Err(Refusal::Broken("bytes after a scan that belong to nothing".to_owned()));
        }
        let marker = segment.marker;
        end = segment.range.end;
        let mut coded = 0..0;
        match marker {
            EOI if scans == 0 => return Err(Refusal::Empty),
            SOS => {
                scans += 1;
                if scans > SCANS_MAX {
                    return Err(Refusal::Broken(format!("more than {SCANS_MAX} scans")));
                }
                coded = segments.entropy_coded()?;
                end = coded.end;
            }
            SOI => return Err(Refusal::Broken("a second start of image".to_owned())),
            0xc0..=0xc2 | DHT | DQT | DRI | APP0..=0xef | 0xd0..=0xd7 | COM | EOI => {}
            // Arithmetic codes (TEM is theirs), lossless, hierarchical: no browser shows them.
            0x01 | 0xc3..=0xcf => {
                return Err(Refusal::Broken("neither baseline nor progressive, with Huffman codes".to_owned()));
            }
            marker => return Err(Refusal::Broken(format!("what marker {marker:#04x} says is not known"))),
        }
        parts.push(Part { segment, coded });
        if marker == EOI {
            return Ok(parts);
        }
    }
}

/// The application segments that count: their indices, and what the first one of the profile is replaced by.
struct Head {
    jfif: Option<usize>,
    adobe: Option<usize>,
    exif: Option<usize>,
    profile: Option<usize>,
    profile_segments: Vec<u8>,
}

impl Head {
    fn new(parts: &[Part<'_>]) -> Result<Self, Refusal> {
        let end = parts.iter().position(|part| part.segment.marker == SOS).unwrap_or(parts.len());
        let head = parts.get(..end).unwrap_or_default();
        let is = |marker: u8, prefix: &'static [u8], bytes: usize| {
            move |Part { segment, .. }: &Part<'_>| {
                segment.marker == marker && segment.data.starts_with(prefix) && segment.data.len() >= bytes
            }
        };
        let is_icc = is(APP2, ICC_PREFIX, ICC_PREFIX.len() + 2);
        let frame = head.iter().find(|part| matches!(part.segment.marker, 0xc0..=0xc2)).ok_or(Refusal::Empty)?;
        let pixels = match Frame::parse(frame.segment.marker, frame.segment.data)?.components.len() {
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

    /// What is written instead of the application segment at `index`.
    fn application(&mut self, index: usize, part: &Part<'_>) -> Vec<u8> {
        let (index, data) = (Some(index), part.segment.data);
        if index == self.jfif {
            segment_of(APP0, &[data.get(..JFIF_BYTES - 2).unwrap_or_default(), &[0, 0]])
        } else if index == self.adobe {
            // Version and flags are the encoder's own affair; the last byte is the color transform.
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

/// The profile whose parts these are; none if one is missing or there twice, as libjpeg has it.
fn profile<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Option<Vec<u8>>, Refusal> {
    if parts.clone().map(<[u8]>::len).sum::<usize>() > PROFILE_BYTES_MAX {
        return Err(Refusal::ProfileTooLarge);
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

/// The segments of a profile.
fn split(profile: &[u8]) -> Vec<u8> {
    let parts = profile.chunks(ICC_PART_BYTES_MAX);
    let count = u8::try_from(parts.len()).unwrap_or(u8::MAX);
    (1..=count).zip(parts).flat_map(|(number, part)| segment_of(APP2, &[ICC_PREFIX, &[number, count], part])).collect()
}

/// A segment; its data is shorter than 64 KiB.
fn segment_of(marker: u8, data: &[&[u8]]) -> Vec<u8> {
    let data = data.concat();
    let [high, low] = u16::try_from(data.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    [&[0xff, marker, high, low], &data[..]].concat()
}
