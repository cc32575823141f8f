//! Metadata stripping of WebP: drops the chunks that are not the picture.
//!
//! Not looked for: frames that cover each other, codewords that no pixel uses, and what the pixels themselves may hold.

use bytes::Bytes;

use super::chunks::{CHUNK_HEADER_BYTES, Chunk, Chunks, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, end_chunk};
use crate::images::icc::{self, PixelSpace};
use crate::images::rewrite::Rewrite;
use crate::images::{BLOCKS_MAX, PROFILE_BYTES_MAX, Refusal, orientation, visits};

/// Bits of VP8X (RFC 9649, section 2.7).
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;
const EXIF: u8 = 0x08;
const ANIMATION: u8 = 0x02;

/// Where in the file VP8X's flags stand.
const FLAGS_AT: usize = FILE_HEADER_BYTES + CHUNK_HEADER_BYTES;

/// Keeps the picture or the frames, and the profile; the orientation as an EXIF of its own. Of what may be there once
/// only the first counts. VP8X and the sizes then tell of what is there; reserved bits and padding become 0.
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut rewrite = Rewrite::new(picture);
    rewrite.keep(0..FILE_HEADER_BYTES);
    let mut chunks = Chunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(Refusal::Empty)?;
    match &first.name {
        b"VP8 " | b"VP8L" => keep_whole(&mut rewrite, &first)?,
        b"VP8X" => Extended::new(picture, &first)?.clean(&mut rewrite, &first, chunks)?,
        name => return Err(Refusal::Broken(format!("it begins with {}", name.escape_ascii()))),
    }
    end_chunk(&mut rewrite, 0)?;
    Ok(rewrite.finish().into_bytes(picture))
}

/// A file that begins with VP8X.
struct Extended<'a> {
    picture: &'a [u8],
    is_animated: bool,
    /// Frames' chunks are counted over the whole file.
    frame_chunks: usize,
    /// What may be there once.
    seen: Vec<[u8; 4]>,
    /// VP8X's flags.
    flags: u8,
    still: ImageChunks<'a>,
}

impl<'a> Extended<'a> {
    fn new(picture: &'a [u8], header: &Chunk<'_>) -> Result<Self, Refusal> {
        const VP8X_BYTES: usize = 10;
        let [flags, ..] = header.data else { return Err(Refusal::Truncated) };
        if header.data.len() != VP8X_BYTES {
            return Err(Refusal::Broken("its VP8X is not 10 bytes long".to_owned()));
        }
        let (is_animated, flags) = (flags & ANIMATION != 0, flags & (ALPHA | ANIMATION));
        Ok(Self { picture, is_animated, frame_chunks: 0, seen: Vec::new(), flags, still: ImageChunks::default() })
    }

    fn clean(mut self, rewrite: &mut Rewrite<'_>, header: &Chunk<'a>, mut chunks: Chunks<'a>) -> Result<(), Refusal> {
        rewrite.keep(header.range.start..FLAGS_AT + 1);
        // The three bytes after the flags are reserved.
        rewrite.put(&[0; 3]);
        rewrite.keep(FLAGS_AT + 4..header.range.end);
        while let Some(chunk) = chunks.next()? {
            self.chunk(rewrite, chunk)?;
        }
        rewrite.patch(FLAGS_AT, &[self.flags]);
        Ok(())
    }

    fn chunk(&mut self, rewrite: &mut Rewrite<'_>, chunk: Chunk<'a>) -> Result<(), Refusal> {
        match (&chunk.name, self.is_animated) {
            (b"ANMF", true) => self.frame(rewrite, &chunk)?,
            (b"ANIM", true) if self.is_first(chunk.name) => {
                // A background colour and how often to repeat.
                let data = chunk.data.get(..6).ok_or(Refusal::Truncated)?;
                rewrite.put(&chunk_of(*b"ANIM", data));
            }
            (b"ALPH" | b"VP8 " | b"VP8L", false) => self.still.add(rewrite, chunk)?,
            (b"ICCP", _) if self.is_first(chunk.name) => {
                if chunk.data.len() > PROFILE_BYTES_MAX {
                    return Err(Refusal::ProfileTooLarge);
                }
                visits::add(chunk.data.len());
                if let Some(profile) = icc::reduced(chunk.data, PixelSpace::Rgb) {
                    self.flags |= PROFILE;
                    rewrite.put(&chunk_of(*b"ICCP", &profile));
                }
            }
            (b"EXIF", _) if self.is_first(chunk.name) => {
                if let Some(orientation) = orientation::read(chunk.data) {
                    self.flags |= EXIF;
                    rewrite.put(&chunk_of(*b"EXIF", &orientation::write(orientation)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether no other of this name was there.
    fn is_first(&mut self, name: [u8; 4]) -> bool {
        let is_first = !self.seen.contains(&name);
        if is_first {
            self.seen.push(name);
        }
        is_first
    }

    fn frame(&mut self, rewrite: &mut Rewrite<'_>, frame: &Chunk<'a>) -> Result<(), Refusal> {
        let data = frame.range.start + CHUNK_HEADER_BYTES;
        let Some([.., flags]) = frame.data.first_chunk::<FRAME_HEADER_BYTES>() else { return Err(Refusal::Truncated) };
        let start = rewrite.len();
        rewrite.keep(frame.range.start..data + FRAME_HEADER_BYTES - 1);
        // Whether it is blended, and how disposed of; the others are reserved.
        rewrite.put(&[flags & 3]);
        let mut image = ImageChunks::default();
        let mut chunks = Chunks::of_frame(self.picture, frame);
        while let Some(chunk) = chunks.next()? {
            self.frame_chunks += 1;
            if self.frame_chunks > BLOCKS_MAX {
                return Err(Refusal::TooManyBlocks);
            }
            image.add(rewrite, chunk)?;
        }
        end_chunk(rewrite, start)
    }
}

/// The chunks of one image: alpha, which counts before a lossy image only, and the image.
#[derive(Default)]
struct ImageChunks<'a> {
    alpha: Option<Chunk<'a>>,
    has_image: bool,
}

impl<'a> ImageChunks<'a> {
    /// Keeps the first image, with the first alpha before it.
    fn add(&mut self, rewrite: &mut Rewrite<'_>, chunk: Chunk<'a>) -> Result<(), Refusal> {
        match &chunk.name {
            b"ALPH" if !self.has_image && self.alpha.is_none() => self.alpha = Some(chunk),
            b"VP8 " | b"VP8L" if !std::mem::replace(&mut self.has_image, true) => {
                if let Some(alpha) = self.alpha.take().filter(|_| chunk.name == *b"VP8 ") {
                    keep_alpha(rewrite, &alpha)?;
                }
                keep_whole(rewrite, &chunk)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Keeps an alpha plane, without the two reserved bits of its header (section 2.7.1.2).
fn keep_alpha(rewrite: &mut Rewrite<'_>, alpha: &Chunk<'_>) -> Result<(), Refusal> {
    let [header, ..] = alpha.data else { return Err(Refusal::Truncated) };
    let (start, data) = (rewrite.len(), alpha.range.start + CHUNK_HEADER_BYTES);
    rewrite.keep(alpha.range.start..data);
    rewrite.put(&[header & 0x3f]);
    rewrite.keep(data + 1..data + alpha.data.len());
    end_chunk(rewrite, start)
}

fn keep_whole(rewrite: &mut Rewrite<'_>, chunk: &Chunk<'_>) -> Result<(), Refusal> {
    let start = rewrite.len();
    rewrite.keep(chunk.range.start..chunk.range.start + CHUNK_HEADER_BYTES + chunk.data.len());
    end_chunk(rewrite, start)
}

/// A chunk, padded.
fn chunk_of(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
    let padding: &[u8] = if data.len() % 2 == 1 { &[0] } else { &[] };
    [&name, &length, data, padding].concat()
}
