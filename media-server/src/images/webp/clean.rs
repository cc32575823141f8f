//! Drops the chunks of a WebP that are not the picture.

use bytes::Bytes;

use super::chunks::{CHUNK_HEADER_BYTES, Chunk, Chunks, FILE_HEADER_BYTES, FRAME_HEADER_BYTES};
use crate::images::orientation;
use crate::images::rewrite::Rewrite;
use crate::images::{BLOCKS_MAX, PROFILE_BYTES_MAX, Refusal};

/// Bits of VP8X (RFC 9649, section 2.7).
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;
const EXIF: u8 = 0x08;
const ANIMATION: u8 = 0x02;

/// Keeps the picture or the frames, and the profile; the orientation as an EXIF of its own. Of what may be there once
/// only the first stays. VP8X and the sizes then tell of what is there.
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut rewrite = Rewrite::new(picture);
    rewrite.keep(0..4);
    let size = rewrite.replace(4..8, Vec::new());
    rewrite.keep(8..FILE_HEADER_BYTES);
    let mut chunks = Chunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(Refusal::Empty)?;
    match &first.name {
        b"VP8 " | b"VP8L" => keep_whole(&mut rewrite, &first),
        b"VP8X" => Extended::new(picture, first)?.clean(&mut rewrite, chunks)?,
        name => return Err(Refusal::Broken(format!("it begins with {}", name.escape_ascii()))),
    }
    let length = u32::try_from(rewrite.len() - 4).map_err(|_| Refusal::Broken("larger than can be".to_owned()))?;
    rewrite.correct(size, length.to_le_bytes().to_vec());
    Ok(rewrite.finish())
}

/// A file that begins with VP8X.
struct Extended<'a> {
    picture: &'a [u8],
    header: Chunk<'a>,
    is_animated: bool,
    /// Frames' chunks are counted over the whole file.
    frame_chunks: usize,
    /// What was kept and may be there once.
    seen: Vec<[u8; 4]>,
}

impl<'a> Extended<'a> {
    fn new(picture: &'a [u8], header: Chunk<'a>) -> Result<Self, Refusal> {
        const VP8X_BYTES: usize = 10;
        if header.data.len() != VP8X_BYTES {
            return Err(Refusal::Broken("its VP8X is not 10 bytes long".to_owned()));
        }
        let is_animated = header.data.first().is_some_and(|flags| flags & ANIMATION != 0);
        Ok(Self { picture, header, is_animated, frame_chunks: 0, seen: Vec::new() })
    }

    fn clean(mut self, rewrite: &mut Rewrite<'_>, mut chunks: Chunks<'_>) -> Result<(), Refusal> {
        let vp8x = rewrite.replace(self.header.range.clone(), Vec::new());
        while let Some(chunk) = chunks.next()? {
            self.chunk(rewrite, &chunk)?;
        }
        let [flags, rest @ ..] = self.header.data else { return Err(Refusal::Truncated) };
        let mut flags = flags & (ALPHA | ANIMATION);
        flags |= if self.seen.contains(b"ICCP") { PROFILE } else { 0 };
        flags |= if self.seen.contains(b"EXIF") { EXIF } else { 0 };
        // The three bytes after the flags are reserved.
        let canvas = rest.get(3..).unwrap_or_default();
        rewrite.correct(vp8x, chunk_of(*b"VP8X", &[&[flags, 0, 0, 0], canvas].concat()));
        Ok(())
    }

    fn chunk(&mut self, rewrite: &mut Rewrite<'_>, chunk: &Chunk<'_>) -> Result<(), Refusal> {
        match (&chunk.name, self.is_animated) {
            (b"ANMF", true) => self.frame(rewrite, chunk)?,
            (b"ANIM", true) | (b"ALPH" | b"VP8 " | b"VP8L", false) if self.is_first(chunk.name) => {
                keep_whole(rewrite, chunk);
            }
            (b"ICCP", _) if chunk.data.len() > PROFILE_BYTES_MAX => return Err(Refusal::ProfileTooLarge),
            (b"ICCP", _) if self.is_first(chunk.name) => keep_whole(rewrite, chunk),
            (b"EXIF", _) => {
                if let Some(orientation) = orientation::read(chunk.data)
                    && self.is_first(chunk.name)
                {
                    rewrite.replace(chunk.range.clone(), chunk_of(*b"EXIF", &orientation::write(orientation)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether no other of this name was kept; of a picture there is one, lossy or lossless.
    fn is_first(&mut self, name: [u8; 4]) -> bool {
        let name = if name == *b"VP8L" { *b"VP8 " } else { name };
        let is_first = !self.seen.contains(&name);
        if is_first {
            self.seen.push(name);
        }
        is_first
    }

    fn frame(&mut self, rewrite: &mut Rewrite<'_>, frame: &Chunk<'_>) -> Result<(), Refusal> {
        let data = frame.range.start + CHUNK_HEADER_BYTES;
        if frame.data.len() < FRAME_HEADER_BYTES {
            return Err(Refusal::Truncated);
        }
        rewrite.keep(frame.range.start..frame.range.start + 4);
        let size = rewrite.replace(frame.range.start + 4..data, Vec::new());
        let before = rewrite.len();
        rewrite.keep(data..data + FRAME_HEADER_BYTES);
        let mut chunks = Chunks::of_frame(self.picture, frame);
        let mut seen = Vec::new();
        while let Some(chunk) = chunks.next()? {
            self.frame_chunks += 1;
            if self.frame_chunks > BLOCKS_MAX {
                return Err(Refusal::TooManyBlocks);
            }
            let name = if chunk.name == *b"VP8L" { *b"VP8 " } else { chunk.name };
            if matches!(&name, b"ALPH" | b"VP8 ") && !seen.contains(&name) {
                seen.push(name);
                keep_whole(rewrite, &chunk);
            }
        }
        let length = u32::try_from(rewrite.len() - before).map_err(|_| Refusal::Truncated)?;
        rewrite.correct(size, length.to_le_bytes().to_vec());
        Ok(())
    }
}

/// Keeps a chunk, padded to an even length.
fn keep_whole(rewrite: &mut Rewrite<'_>, chunk: &Chunk<'_>) {
    rewrite.keep(chunk.range.clone());
    if chunk.range.len() % 2 == 1 {
        rewrite.replace(chunk.range.end..chunk.range.end, vec![0]);
    }
}

fn chunk_of(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&name, &length, data].concat()
}
