//! JPEG (ITU-T T.81): baseline, extended and progressive, of 8 bits; gray, YCbCr, RGB, CMYK.

mod about;
mod bits;
mod clean;
mod coefficients;
mod frame;
mod huffman;
mod middle;
mod scan;
mod segments;
mod tables;
mod transform;
mod used_tables;

use bytes::Bytes;

use self::about::About;
use self::frame::Frame;
use self::middle::Square;
use self::scan::Scan;
use self::segments::{APP2, DHT, DQT, DRI, EOI, SOS, Segments};
use self::tables::Tables;
use super::rewrite::{Rewrite, Rewritten};
use super::work::Work;
use super::{PictureLimits, Refusal, check_size};

pub(crate) use self::about::Colours;
pub(super) use self::clean::clean;
pub use self::middle::Middle;

/// The most scans of a picture; encoders write about ten.
const SCANS_MAX: usize = 64;

/// How often the scans of a picture may visit each of its blocks. libjpeg's progressive pictures visit a block six times,
/// mozjpeg's eight.
const VISITS_MAX: u64 = 16;

/// Steps of a visit: an empty one has fewer, one of many coefficients more.
const VISIT_STEPS: u64 = 16;

/// What [`decode`] takes, in bytes.
pub(super) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    let frame = frame(picture)?;
    check_size(frame.width, frame.height, 1, limits)?;
    check_scans(picture, &frame)?;
    Ok(frame.memory_bytes())
}

/// Refuses a picture by the headers of its scans if they visit its blocks too often.
fn check_scans(picture: &[u8], frame: &Frame) -> Result<(), Refusal> {
    let mut work = Work::default();
    limit(&mut work, frame);
    let mut segments = Segments::new(picture);
    loop {
        let segment = segments.next()?;
        match segment.marker {
            SOS => {
                work.spend(Scan::parse(segment.data, frame)?.blocks(frame) * VISIT_STEPS)?;
                segments.entropy_coded()?;
            }
            EOI => return Ok(()),
            _ => {}
        }
    }
}

fn limit(work: &mut Work, frame: &Frame) {
    work.limit(frame.blocks(), 0, (VISITS_MAX * VISIT_STEPS, 0));
}

/// What [`middle`] takes, in bytes, and making pixels of it; then the side of the middle, and the bytes of the profile.
pub(crate) fn middle_memory_bytes(picture: &[u8], size: u32) -> Result<(u64, u32, u64), Refusal> {
    let frame = frame(picture)?;
    let square = Square::of(&frame, size);
    let bytes = frame.memory_bytes() + square.memory_bytes(&frame);
    let mut segments = Segments::new(picture);
    let mut profile_bytes = 0;
    loop {
        let segment = segments.next()?;
        match segment.marker {
            APP2 => profile_bytes += segment.data.len() as u64,
            SOS | EOI => return Ok((bytes, square.side(), profile_bytes)),
            _ => {}
        }
    }
}

/// The first frame header.
fn frame(picture: &[u8]) -> Result<Frame, Refusal> {
    let mut segments = Segments::new(picture);
    loop {
        let segment = segments.next()?;
        match segment.marker {
            0xc0..=0xc2 => return Frame::parse(segment.marker, segment.data),
            SOS | EOI => return Err(Refusal::Empty),
            _ => {}
        }
    }
}

/// Decodes all scans; returns the picture with each interval of entropy-coded data padded with ones. A picture that was cut
/// and then ended anew is found out, in that blocks are missing; one that was cut between two scans of a progressive picture
/// is whole by the standard (T.81 G.1.1 does not ask for all bits).
pub(super) fn decode(picture: &Bytes, work: &mut Work) -> Result<Bytes, Refusal> {
    let decoded = decode_frame(picture, None, work)?;
    Ok(decoded.padded.into_bytes(picture))
}

/// Does the same, and keeps what a square of `size` pixels is to be made of.
pub(super) fn decode_for(picture: &Bytes, size: u32, work: &mut Work) -> Result<(Bytes, Middle), Refusal> {
    let (middle, padded) = decode_frame(picture, Some(size), work)?.middle(size);
    Ok((padded.into_bytes(picture), middle))
}

/// What a square of `size` pixels is to be made of.
pub(crate) fn middle(picture: &[u8], size: u32, work: &mut Work) -> Result<Middle, Refusal> {
    Ok(decode_frame(picture, Some(size), work)?.middle(size).0)
}

/// What decoding finds.
struct Decoded {
    frame: Frame,
    about: About,
    padded: Rewritten,
}

impl Decoded {
    fn middle(self, size: u32) -> (Middle, Rewritten) {
        (Square::of(&self.frame, size).taken(self.frame, self.about), self.padded)
    }
}

fn decode_frame(picture: &[u8], size: Option<u32>, work: &mut Work) -> Result<Decoded, Refusal> {
    let mut segments = Segments::new(picture);
    let mut tables = Tables::default();
    let mut about = About::default();
    let mut frame: Option<Frame> = None;
    let mut padded = Rewrite::new(picture);
    let mut padded_to = 0;
    loop {
        let segment = segments.next()?;
        match segment.marker {
            DQT => tables.define_quantization(segment.data)?,
            DHT => tables.define_huffman(segment.data)?,
            DRI => tables.define_restarts(segment.data)?,
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(Refusal::Broken("a second frame".to_owned()));
                }
                let frame = frame.insert(Frame::parse(segment.marker, segment.data)?);
                frame.allocate();
                limit(work, frame);
                if let Some(size) = size {
                    Square::of(frame, size).keep(frame);
                }
            }
            SOS => {
                let coded = segments.entropy_coded()?;
                let data = picture.get(coded.clone()).unwrap_or_default();
                let frame = frame.as_mut().ok_or(Refusal::Empty)?;
                let rewritten = Scan::parse(segment.data, frame)?.decode(data, frame, &tables, work)?;
                if let Rewritten::Copy(data) = rewritten {
                    padded.keep(padded_to..coded.start);
                    padded.put(&data);
                    padded_to = coded.end;
                }
            }
            EOI => {
                padded.keep(padded_to..segment.range.end);
                let is_whole = |frame: &Frame| frame.components.iter().all(|component| component.is_begun);
                let frame = frame.filter(is_whole).ok_or(Refusal::Truncated)?;
                return Ok(Decoded { frame, about, padded: padded.finish() });
            }
            _ if size.is_some() => about.read(&segment),
            _ => {}
        }
    }
}
