//! WebP (RFC 9649): lossy, lossless, with alpha, animated.

mod bits;
mod chunks;
mod clean;
mod codes;
mod distances;
mod footprint;
mod lossless;
mod lossy;

use bytes::Bytes;

use self::chunks::{CHUNK_HEADER_BYTES, Chunk, Chunks, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, end_chunk, u24_at};
use self::lossless::Bitstream;
use super::rewrite::{Rewrite, Rewritten};
use super::work::Work;
use super::{PictureLimits, Refusal, check_size};

pub(super) use self::clean::clean;
pub(crate) use self::footprint::{Footprint, footprint};

/// Steps that a file may take for each pixel, its frames counted as large as the canvas, and for each byte.
const STEPS: (u64, u64) = (6, 0);

/// Steps of an image, however small: of a lossless one, and of a lossy one, whose decoder sets its tables up.
const LOSSLESS_STEPS: u64 = 300;
const LOSSY_STEPS: u64 = 4500;

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

/// Decodes all frames; returns the picture without what follows the end of their compressed data.
pub(super) fn decode(picture: &Bytes, work: &mut Work) -> Result<Bytes, Refusal> {
    let mut chunks = Chunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(Refusal::Empty)?;
    let is_extended = first.name == *b"VP8X";
    let canvas = if is_extended { canvas(&first)? } else { Image::default().add(&first)?.dimensions()? };
    let mut frames = 0;
    let mut still = Image::default().add(&first)?;
    while let Some(chunk) = chunks.next()? {
        if chunk.name == *b"ANMF" {
            frames += 1;
        } else {
            still = still.add(&chunk)?;
        }
    }
    work.limit(u64::from(canvas.0) * u64::from(canvas.1) * frames.max(1), picture.len() as u64, STEPS);
    if frames == 0 && is_extended && still.dimensions() != Ok(canvas) {
        return Err(Refusal::Broken("it is not as large as it says".to_owned()));
    }
    let trimmed = if frames == 0 { still.decode(work)? } else { Trimmed::default() };
    let mut rewrite = Rewrite::new(picture);
    rewrite.keep(0..FILE_HEADER_BYTES);
    chunks = Chunks::of_file(picture)?;
    while let Some(chunk) = chunks.next()? {
        if chunk.name == *b"ANMF" {
            let image = frame(picture, &chunk)?;
            check_place(&chunk, canvas, image.dimensions()?)?;
            image.decode(work)?.put_frame(&mut rewrite, picture, &chunk)?;
        } else {
            trimmed.put(&mut rewrite, &chunk)?;
        }
    }
    end_chunk(&mut rewrite, 0)?;
    Ok(rewrite.finish().into_bytes(picture))
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
            (Some(lossy), None) => lossy::dimensions(lossy),
            (None, Some(lossless)) => lossless::dimensions(lossless),
            _ => Err(Refusal::Empty),
        }
    }

    fn memory_bytes(&self) -> Result<u64, Refusal> {
        let (width, height) = self.dimensions()?;
        let pixels = u64::from(width.next_multiple_of(16)) * u64::from(height.next_multiple_of(16));
        let mut bytes = if self.lossy.is_some() { lossy::memory_bytes(width) } else { 0 };
        if let Some(data) = self.lossless.or(self.alpha) {
            bytes = bytes.max(lossless::memory_bytes(data, pixels));
        }
        Ok(bytes)
    }

    fn decode(&self, work: &mut Work) -> Result<Trimmed, Refusal> {
        let (width, height) = self.dimensions()?;
        let mut decode_alpha = |alpha| decode_alpha(alpha, width, height, work);
        let alpha = self.alpha.map_or(Ok(Rewritten::default()), &mut decode_alpha)?;
        let image = match (self.lossy, self.lossless) {
            (Some(lossy), _) => {
                work.spend(LOSSY_STEPS)?;
                lossy::decode(lossy, work)?
            }
            (None, Some(lossless)) => {
                work.spend(LOSSLESS_STEPS)?;
                let left = Bitstream::of_picture(lossless)?.decode(work)?;
                trimmed(lossless, 8 * lossless.len() - left)
            }
            (None, None) => return Err(Refusal::Empty),
        };
        Ok(Trimmed { image, alpha })
    }
}

/// The data of an image's chunks up to the end of what is compressed.
#[derive(Default)]
struct Trimmed {
    image: Rewritten,
    alpha: Rewritten,
}

impl Trimmed {
    /// Appends a frame.
    fn put_frame(&self, rewrite: &mut Rewrite<'_>, picture: &[u8], frame: &Chunk<'_>) -> Result<(), Refusal> {
        let start = rewrite.len();
        rewrite.keep(frame.range.start..frame.range.start + CHUNK_HEADER_BYTES + FRAME_HEADER_BYTES);
        let mut chunks = Chunks::of_frame(picture, frame);
        while let Some(chunk) = chunks.next()? {
            self.put(rewrite, &chunk)?;
        }
        end_chunk(rewrite, start)
    }

    /// Appends a chunk, trimmed if it is one of the image's.
    fn put(&self, rewrite: &mut Rewrite<'_>, chunk: &Chunk<'_>) -> Result<(), Refusal> {
        let trimmed = match &chunk.name {
            b"VP8 " | b"VP8L" => &self.image,
            b"ALPH" => &self.alpha,
            _ => {
                rewrite.keep(chunk.range.clone());
                return Ok(());
            }
        };
        let (start, data) = (rewrite.len(), chunk.range.start + CHUNK_HEADER_BYTES);
        rewrite.keep(chunk.range.start..data);
        match trimmed {
            Rewritten::Prefix(length) => rewrite.keep(data..data + length),
            Rewritten::Copy(bytes) => rewrite.put(bytes),
        }
        end_chunk(rewrite, start)
    }
}

/// The first `bits` bits of `data`, the lowest of a byte first, and zeros.
fn trimmed(data: &[u8], bits: usize) -> Rewritten {
    let mut rewrite = Rewrite::new(data);
    let whole = bits / 8;
    rewrite.keep(0..whole);
    if let Some(last) = data.get(whole).filter(|_| !bits.is_multiple_of(8)) {
        rewrite.put(&[last & ((1 << (bits % 8)) - 1)]);
    }
    rewrite.finish()
}

/// An alpha plane (section 2.7.1.2): as it is, or lossless.
fn decode_alpha(alpha: &[u8], width: u32, height: u32, work: &mut Work) -> Result<Rewritten, Refusal> {
    let [header, data @ ..] = alpha else { return Err(Refusal::Truncated) };
    let bits = match header & 3 {
        0 => 8 * width as usize * height as usize,
        1 => 8 * data.len() - Bitstream::of_alpha(data, width, height).decode(work)?,
        _ => return Err(Refusal::Broken("an alpha plane of a kind that is not known".to_owned())),
    };
    if bits > 8 * data.len() { Err(Refusal::Truncated) } else { Ok(trimmed(alpha, 8 + bits)) }
}
