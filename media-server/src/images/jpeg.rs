//! JPEG (ITU-T T.81): baseline and progressive; gray, YCbCr, RGB, CMYK.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{PictureLimits, Refusal, SIDE_PIXELS_MAX, check_size};

/// The most scans of a picture; encoders write about ten. Each one costs a pass over all of it.
const SCANS_MAX: usize = 64;

pub(super) fn check(picture: &[u8], limits: PictureLimits) -> Result<(), Refusal> {
    let outline = outline(picture)?;
    let side_max = SIDE_PIXELS_MAX as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side_max)
        .set_max_height(side_max)
        .jpeg_set_max_scans(SCANS_MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
    decoder.decode_headers().map_err(Refusal::broken)?;
    let (width, height) = decoder.dimensions().ok_or(Refusal::Empty)?;
    let side = |pixels: usize| u32::try_from(pixels).map_err(|_| Refusal::Sides);
    check_size(side(width)?, side(height)?, 1, limits)?;

    // All data is decoded either way; without colours it takes a third of the memory and two of the time.
    let colours = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        Some(ColorSpace::YCbCr) if outline.is_commonly_sampled => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    decoder.decode().map(drop).map_err(Refusal::broken)
}

/// What the markers tell.
struct Outline {
    /// Sampled 4:4:4, 4:2:2 or 4:2:0. zune-jpeg 0.5.15 panics on others (4:4:0) where colours are left out.
    is_commonly_sampled: bool,
}

/// Walks from marker to marker (T.81, annex B) to the end of the image, which zune-jpeg does not ask for.
fn outline(picture: &[u8]) -> Result<Outline, Refusal> {
    const SOS: u8 = 0xda;
    const EOI: u8 = 0xd9;
    let mut outline = Outline { is_commonly_sampled: false };
    let mut rest = picture.get(2..).unwrap_or_default();
    let mut scans = 0;
    loop {
        let marker;
        (marker, rest) = next_marker(rest).ok_or(Refusal::Truncated)?;
        match marker {
            EOI if scans > 0 => return Ok(outline),
            EOI => return Err(Refusal::Empty),
            // TEM, and restarts between entropy-coded segments, stand alone.
            0x01 | 0xd0..=0xd7 => continue,
            SOS => scans += 1,
            _ => {}
        }
        if scans > SCANS_MAX {
            return Err(Refusal::Broken(format!("more than {SCANS_MAX} scans")));
        }
        let [high, low, ..] = rest else { return Err(Refusal::Truncated) };
        let (segment, after) =
            rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))).ok_or(Refusal::Truncated)?;
        if matches!(marker, 0xc0..=0xc2) {
            outline.is_commonly_sampled = is_commonly_sampled(segment);
        }
        rest = after;
    }
}

/// The next marker and what follows it; stuffed zeros (`ff 00`) and fill bytes (`ff ff`) are none.
fn next_marker(mut bytes: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        bytes = bytes.get(memchr::memchr(0xff, bytes)? + 1..)?;
        match bytes {
            [0x00 | 0xff, ..] => {}
            [marker, rest @ ..] => return Some((*marker, rest)),
            [] => return None,
        }
    }
}

/// Reads the sampling factors of a frame header (T.81, B.2.2).
fn is_commonly_sampled(frame_header: &[u8]) -> bool {
    matches!(frame_header, [_, _, _, _, _, _, _, 3, _, 0x11 | 0x21 | 0x22, _, _, 0x11, _, _, 0x11, ..])
}
