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

use self::about::About;
use self::frame::Frame;
use self::middle::Square;
use self::scan::Scan;
use self::segments::{DHT, DQT, DRI, EOI, SOS, Segments};
use self::tables::Tables;
use super::{PictureLimits, Refusal, check_size};

pub(crate) use self::about::Colours;
pub(super) use self::clean::clean;
pub use self::middle::Middle;

/// The most scans of a picture; encoders write about ten. Each one costs a pass over all of it.
const SCANS_MAX: usize = 64;

/// What [`decode`] takes, in bytes.
pub(super) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    let frame = frame(picture)?;
    check_size(frame.width, frame.height, 1, limits)?;
    Ok(frame.memory_bytes())
}

/// What [`middle`] takes, in bytes, and making pixels of it.
pub(crate) fn middle_memory_bytes(picture: &[u8], size: u32) -> Result<u64, Refusal> {
    let frame = frame(picture)?;
    Ok(frame.memory_bytes() + Square::of(&frame, size).memory_bytes(&frame))
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

/// Decodes all scans. A picture that was cut and then ended anew is found out, in that blocks are missing; one that was
/// cut between two scans of a progressive picture is whole by the standard (T.81 G.1.1 does not ask for all bits).
pub(super) fn decode(picture: &[u8]) -> Result<(), Refusal> {
    decode_frame(picture, None).map(drop)
}

/// Does the same, and keeps what a square of `size` pixels is to be made of.
pub(crate) fn middle(picture: &[u8], size: u32) -> Result<Middle, Refusal> {
    let (frame, about) = decode_frame(picture, Some(size))?;
    Ok(Square::of(&frame, size).taken(frame, about))
}

fn decode_frame(picture: &[u8], size: Option<u32>) -> Result<(Frame, About), Refusal> {
    let mut segments = Segments::new(picture);
    let mut tables = Tables::default();
    let mut about = About::default();
    let mut frame: Option<Frame> = None;
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
                if let Some(size) = size {
                    Square::of(frame, size).keep(frame);
                }
            }
            SOS => {
                let data = picture.get(segments.entropy_coded()?).unwrap_or_default();
                let frame = frame.as_mut().ok_or(Refusal::Empty)?;
                Scan::parse(segment.data, frame)?.decode(data, frame, &tables)?;
            }
            EOI => {
                let is_whole = |frame: &Frame| frame.components.iter().all(|component| component.is_begun);
                return frame.filter(is_whole).map(|frame| (frame, about)).ok_or(Refusal::Truncated);
            }
            _ if size.is_some() => about.read(&segment),
            _ => {}
        }
    }
}
