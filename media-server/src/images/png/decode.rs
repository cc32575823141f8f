//! Inflates all images of a PNG that has been stripped, and drops what follows the end of each.

use bytes::Bytes;

use super::chunks::{Chunk, SIGNATURE_BYTES, chunk_of, chunks};
use super::deflate;
use super::header::{Color, Header};
use super::image_data::{ImageData, MEMORY_BYTES};
use crate::images::rewrite::Rewrite;
use crate::images::work::Work;
use crate::images::{PictureLimits, Refusal, check_size};

/// Steps that a file may take for each pixel, its frames counted as large as the picture, and for each byte.
const STEPS: (u64, u64) = (2, 1);

/// Steps of an image, and of a chunk of its data.
const IMAGE_STEPS: u64 = 200;
const CHUNK_STEPS: u64 = 60;

/// Before the data of fdAT and what fcTL says.
const SEQUENCE_BYTES: usize = 4;

/// What [`decode`] takes, in bytes.
pub(in crate::images) fn memory_bytes(picture: &[u8], limits: PictureLimits) -> Result<u64, Refusal> {
    let header = header(picture)?;
    check_size(header.width, header.height, 1, limits)?;
    check_size(header.width, header.height, images(picture)?, limits)?;
    Ok(MEMORY_BYTES)
}

/// How many images are decoded: of an animation the default image may be a frame or not.
fn images(picture: &[u8]) -> Result<u32, Refusal> {
    let (mut frames, mut is_frame) = (0, false);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        match &chunk.kind {
            b"acTL" => frames = u32_at(chunk.data, 0)?,
            b"fcTL" => is_frame = true,
            b"IDAT" | b"IEND" => break,
            _ => {}
        }
    }
    Ok(frames.saturating_add(u32::from(!is_frame)))
}

/// Spends the steps of all images, chunks of their data, and deflate blocks, before any of them is decoded.
fn spend_chunks(picture: &[u8], work: &mut Work) -> Result<(), Refusal> {
    let mut chunks = chunks(picture).map_while(Result::ok).peekable();
    while let Some(Chunk { kind, data, .. }) = chunks.next() {
        let prefix = match &kind {
            b"IDAT" => 0,
            b"fdAT" => SEQUENCE_BYTES,
            _ => continue,
        };
        let mut count = 1;
        let more = std::iter::from_fn(|| chunks.next_if(|other| other.kind == kind)).map(|other| other.data);
        let mut pieces = std::iter::once(data).chain(more).inspect(|_| count += 1);
        work.spend(IMAGE_STEPS)?;
        deflate::spend(pieces.by_ref().map(|data| data.get(prefix..).unwrap_or_default()), work)?;
        pieces.for_each(drop);
        work.spend(count * CHUNK_STEPS)?;
    }
    Ok(())
}

/// Decodes all images; returns the picture without what follows the end of their compressed data.
pub(in crate::images) fn decode(picture: &Bytes, work: &mut Work) -> Result<Bytes, Refusal> {
    let header = header(picture)?;
    let pixels = u64::from(header.width) * u64::from(header.height) * u64::from(images(picture)?);
    work.limit(pixels, picture.len() as u64, STEPS);
    spend_chunks(picture, work)?;
    let mut decoder = Decoder {
        work,
        rewrite: Rewrite::new(picture),
        header,
        image: None,
        frame: None,
        has_palette: false,
        has_default_image: false,
        next_sequence: 0,
        next_written: 0,
    };
    decoder.rewrite.keep(0..SIGNATURE_BYTES);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        let is_end = chunk.kind == *b"IEND";
        decoder.chunk(chunk)?;
        if is_end {
            return Ok(decoder.rewrite.finish().into_bytes(picture));
        }
    }
    Err(Refusal::TooManyBlocks)
}

fn header(picture: &[u8]) -> Result<Header, Refusal> {
    let first = chunks(picture).next().ok_or(Refusal::Truncated)??;
    if first.kind == *b"IHDR" {
        Header::parse(first.data)
    } else {
        Err(Refusal::broken("it does not begin with its header"))
    }
}

struct Decoder<'a, 'w> {
    work: &'w mut Work,
    rewrite: Rewrite<'a>,
    header: Header,
    /// The image whose data is being read.
    image: Option<ImageData>,
    /// What the last fcTL says, until its data begins.
    frame: Option<Header>,
    has_palette: bool,
    has_default_image: bool,
    /// The number that the next fcTL or fdAT has, and the one that is written: chunks may have been dropped.
    next_sequence: u32,
    next_written: u32,
}

impl Decoder<'_, '_> {
    fn chunk(&mut self, chunk: Chunk<'_>) -> Result<(), Refusal> {
        match &chunk.kind {
            b"IDAT" => {
                chunk.check()?;
                if self.image.is_none() {
                    self.begin_default_image()?;
                }
                self.push(&chunk, 0)
            }
            b"fdAT" => {
                chunk.check()?;
                self.check_sequence(chunk.data)?;
                if let Some(frame) = self.frame.take().filter(|_| self.has_default_image) {
                    self.image = Some(ImageData::new(&frame));
                }
                self.push(&chunk, SEQUENCE_BYTES)
            }
            b"fcTL" => {
                self.end_image()?;
                self.check_sequence(chunk.data)?;
                self.begin_frame(chunk.data)?;
                self.keep_in_sequence(&chunk, chunk.data);
                Ok(())
            }
            kind => {
                self.end_image()?;
                if kind == b"IEND" && (self.frame.is_some() || !self.has_default_image) {
                    return Err(Refusal::Truncated);
                }
                self.has_palette |= kind == b"PLTE";
                self.rewrite.keep(chunk.range);
                Ok(())
            }
        }
    }

    fn begin_default_image(&mut self) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.has_default_image, true) {
            return Err(Refusal::broken("image data in two places"));
        }
        if self.header.color == Color::Indexed && !self.has_palette {
            return Err(Refusal::broken("it has no palette"));
        }
        self.frame = None;
        self.image = Some(ImageData::new(&self.header));
        Ok(())
    }

    fn begin_frame(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let (width, height) = (u32_at(data, 4)?, u32_at(data, 8)?);
        let fits = |at: usize, side: u32, all: u32| Ok(side > 0 && u32_at(data, at)?.checked_add(side) <= Some(all));
        let is_inside = fits(12, width, self.header.width)? && fits(16, height, self.header.height)?;
        // That of the default image is as large as the picture.
        let is_whole = (width, height) == (self.header.width, self.header.height);
        // How it is disposed of, and blended.
        let is_known = matches!(data, [.., 0..=2, 0..=1]);
        if !is_inside || !is_known || !(self.has_default_image || is_whole) {
            return Err(Refusal::broken("a frame that can not be drawn"));
        }
        match self.frame.replace(self.header.with_size(width, height)) {
            None => Ok(()),
            Some(_) => Err(Refusal::broken("a frame without data")),
        }
    }

    fn check_sequence(&mut self, data: &[u8]) -> Result<(), Refusal> {
        if u32_at(data, 0)? != self.next_sequence {
            return Err(Refusal::broken("its frames are not in order"));
        }
        self.next_sequence += 1;
        Ok(())
    }

    /// Inflates what follows `prefix` bytes of a chunk, and keeps as much of it as belongs to the image.
    fn push(&mut self, chunk: &Chunk<'_>, prefix: usize) -> Result<(), Refusal> {
        let image = self.image.as_mut().ok_or_else(|| Refusal::broken("a frame that has not begun"))?;
        let used = image.push(chunk.data.get(prefix..).unwrap_or_default(), self.work)?;
        let data = chunk.data.get(..prefix + used).unwrap_or_default();
        match (used, prefix) {
            (0, _) => {}
            (_, SEQUENCE_BYTES) => self.keep_in_sequence(chunk, data),
            _ if data.len() == chunk.data.len() => self.rewrite.keep(chunk.range.clone()),
            _ => self.rewrite.put(&chunk_of(chunk.kind, data)),
        }
        Ok(())
    }

    /// Keeps a chunk that begins with its number, with this data.
    fn keep_in_sequence(&mut self, chunk: &Chunk<'_>, data: &[u8]) {
        let number = self.next_written.to_be_bytes();
        self.next_written += 1;
        if data.len() == chunk.data.len() && data.starts_with(&number) {
            self.rewrite.keep(chunk.range.clone());
        } else {
            let data = [&number, data.get(SEQUENCE_BYTES..).unwrap_or_default()].concat();
            self.rewrite.put(&chunk_of(chunk.kind, &data));
        }
    }

    fn end_image(&mut self) -> Result<(), Refusal> {
        self.image.take().map_or(Ok(()), |image| image.finish())
    }
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, Refusal> {
    let bytes = data.get(at..).and_then(<[u8]>::first_chunk).ok_or(Refusal::Truncated)?;
    Ok(u32::from_be_bytes(*bytes))
}
