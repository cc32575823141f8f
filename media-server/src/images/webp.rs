//! WebP (RFC 9649): lossy, lossless, with alpha, animated.
//!
//! Lossy pictures are decoded by image-webp, to its three planes; its way to RGB would take three times their memory.

mod bits;
mod chunks;
mod clean;
mod codes;
mod distances;
mod footprint;
mod lossless;

use image_webp::DecodingError;
use image_webp::vp8::Vp8Decoder;

use self::chunks::{Chunk, Chunks, u24_at};
use self::lossless::Bitstream;
use super::work::Work;
use super::{PictureLimits, Refusal, check_size};

pub(super) use self::clean::clean;
pub(crate) use self::footprint::{Footprint, footprint};

/// Steps that a file may take for each pixel, its frames counted as large as the canvas, and for each byte.
const STEPS: (u64, u64) = (6, 0);

/// Steps of an image, however small: of a lossless one, and of a lossy one, whose decoder sets its tables up.
const LOSSLESS_STEPS: u64 = 300;
const LOSSY_STEPS: u64 = 4500;

/// What the decoder of lossy pictures holds besides, in bytes.
const LOSSY_BYTES: u64 = 1024 * 1024;

/// What [`decode`] takes, in bytes.
pub(super) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    let mut chunks = Chunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(Refusal::Empty)?;
    let canvas = if first.name == *b"VP8X" { canvas(&first)? } else { Image::default().add(&first)?.dimensions()? };
    let (mut frames, mut frame_bytes_max) = (0, 0);
    let mut still = Image::default().add(&first)?;
    while let Some(chunk) = chunks.next()? {
        if chunk.name == *b"ANMF" {
            frames += 1;
            frame_bytes_max = frame_bytes_max.max(frame(picture, &chunk)?.memory_bytes()?);
        } else {
            still = still.add(&chunk)?;
        }
    }
    if frames == 0 {
        frames = 1;
        frame_bytes_max = still.memory_bytes()?;
    }
    check_size(canvas.0, canvas.1, frames, limits)?;
    Ok(frame_bytes_max)
}

/// Decodes all frames.
pub(super) fn decode(picture: &[u8], work: &mut Work) -> Result<(), Refusal> {
    let mut chunks = Chunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(Refusal::Empty)?;
    let is_extended = first.name == *b"VP8X";
    let canvas = if is_extended { canvas(&first)? } else { Image::default().add(&first)?.dimensions()? };
    let frames = frames(picture)?;
    work.limit(u64::from(canvas.0) * u64::from(canvas.1) * frames.max(1), picture.len() as u64, STEPS);
    let mut still = Image::default().add(&first)?;
    while let Some(chunk) = chunks.next()? {
        if chunk.name == *b"ANMF" {
            let image = frame(picture, &chunk)?;
            check_place(&chunk, canvas, image.dimensions()?)?;
            image.decode(work)?;
        } else {
            still = still.add(&chunk)?;
        }
    }
    if frames > 0 {
        return Ok(());
    }
    if is_extended && still.dimensions() != Ok(canvas) {
        return Err(Refusal::Broken("it is not as large as it says".to_owned()));
    }
    still.decode(work)
}

fn frames(picture: &[u8]) -> Result<u64, Refusal> {
    let (mut chunks, mut frames) = (Chunks::of_file(picture)?, 0);
    while let Some(chunk) = chunks.next()? {
        frames += u64::from(chunk.name == *b"ANMF");
    }
    Ok(frames)
}

/// The dimensions that VP8X tells.
fn canvas(vp8x: &Chunk<'_>) -> Result<(u32, u32), Refusal> {
    match (u24_at(vp8x.data, 4), u24_at(vp8x.data, 7)) {
        (Some(width), Some(height)) => Ok((width + 1, height + 1)),
        _ => Err(Refusal::Truncated),
    }
}

fn frame<'a>(picture: &'a [u8], chunk: &Chunk<'_>) -> Result<Image<'a>, Refusal> {
    let mut chunks = Chunks::of_frame(picture, chunk);
    let mut image = Image::default();
    while let Some(chunk) = chunks.next()? {
        image = image.add(&chunk)?;
    }
    Ok(image)
}

/// A frame must lie on the canvas and be as large as it says (section 2.7.1.1).
fn check_place(frame: &Chunk<'_>, canvas: (u32, u32), dimensions: (u32, u32)) -> Result<(), Refusal> {
    let [x, y, width, height] = [0, 3, 6, 9].map(|at| u24_at(frame.data, at).unwrap_or(u32::MAX >> 8));
    let is_inside = x * 2 + width < canvas.0 && y * 2 + height < canvas.1;
    if is_inside && dimensions == (width + 1, height + 1) {
        Ok(())
    } else {
        Err(Refusal::Broken("a frame that does not fit".to_owned()))
    }
}

/// The chunks that make one image.
#[derive(Clone, Copy, Default)]
struct Image<'a> {
    lossy: Option<&'a [u8]>,
    lossless: Option<&'a [u8]>,
    alpha: Option<&'a [u8]>,
}

impl<'a> Image<'a> {
    fn add(mut self, chunk: &Chunk<'a>) -> Result<Self, Refusal> {
        let place = match &chunk.name {
            b"VP8 " => &mut self.lossy,
            b"VP8L" => &mut self.lossless,
            b"ALPH" => &mut self.alpha,
            _ => return Ok(self),
        };
        match place.replace(chunk.data) {
            None => Ok(self),
            Some(_) => Err(Refusal::Broken("one image twice".to_owned())),
        }
    }

    fn dimensions(&self) -> Result<(u32, u32), Refusal> {
        match (self.lossy, self.lossless) {
            // A key frame (RFC 6386, section 9.1).
            (Some([_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..]), None) => {
                let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                Ok((side(*w0, *w1), side(*h0, *h1)))
            }
            (Some(_), None) => Err(Refusal::Broken("a lossy picture without its start".to_owned())),
            (None, Some(lossless)) => lossless::dimensions(lossless),
            _ => Err(Refusal::Empty),
        }
    }

    fn memory_bytes(&self) -> Result<u64, Refusal> {
        let (width, height) = self.dimensions()?;
        let pixels = u64::from(width.next_multiple_of(16)) * u64::from(height.next_multiple_of(16));
        let mut bytes = 0;
        if let Some(lossy) = self.lossy {
            // Luma and two chroma planes of a quarter each, and a copy of the data.
            bytes = pixels + pixels / 2 + lossy.len() as u64 + LOSSY_BYTES;
        }
        if let Some(data) = self.lossless.or(self.alpha) {
            bytes = bytes.max(lossless::memory_bytes(data, pixels));
        }
        Ok(bytes)
    }

    fn decode(&self, work: &mut Work) -> Result<(), Refusal> {
        let (width, height) = self.dimensions()?;
        if let Some(alpha) = self.alpha {
            decode_alpha(alpha, width, height, work)?;
        }
        match (self.lossy, self.lossless) {
            (Some(lossy), _) => {
                work.spend(LOSSY_STEPS + u64::from(width) * u64::from(height))?;
                Vp8Decoder::decode_frame(lossy).map(drop).map_err(refused)
            }
            (None, Some(lossless)) => {
                work.spend(LOSSLESS_STEPS)?;
                Bitstream::of_picture(lossless)?.decode(work)
            }
            (None, None) => Err(Refusal::Empty),
        }
    }
}

/// An alpha plane (section 2.7.1.2): as it is, or lossless.
fn decode_alpha(alpha: &[u8], width: u32, height: u32, work: &mut Work) -> Result<(), Refusal> {
    let [header, data @ ..] = alpha else { return Err(Refusal::Truncated) };
    match header & 3 {
        0 if data.len() >= width as usize * height as usize => Ok(()),
        0 => Err(Refusal::Truncated),
        1 => Bitstream::of_alpha(data, width, height).decode(work),
        _ => Err(Refusal::Broken("an alpha plane of a kind that is not known".to_owned())),
    }
}

fn refused(error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Refusal::Truncated,
        error => Refusal::broken(error),
    }
}
