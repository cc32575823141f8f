//! Metadata stripping of PNG: drops the chunks that are not the picture.
//!
//! Not looked for: entries of the palette that no pixel uses, frames that cover each other, and what the pixels themselves
//! may hold.

use bytes::Bytes;
use fdeflate::BoundedDecompressionError;

use super::chunks::{Chunk, SIGNATURE_BYTES, chunk_of, chunks};
use super::header::{Color, Header};
use crate::images::icc;
use crate::images::rewrite::Rewrite;
use crate::images::{PROFILE_BYTES_MAX, Refusal, orientation, visits};

/// The name of every profile that is kept, a 0, and the method of its compression.
const PROFILE_PREFIX: &[u8] = b"ICC\0\0";

/// Keeps what is drawn and how it is to be shown, and an animation; the orientation as an eXIf of its own. A chunk other
/// than image data and frames is kept once, has the length that the standard gives it, and stands before the image data
/// (eXIf may follow it). A checksum must hold even where the chunk is dropped: a file that was damaged is not guessed at.
/// (IDAT's and fdAT's are left to the decoder.)
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let first = chunks(picture).next().ok_or(Refusal::Truncated)??;
    if first.kind != *b"IHDR" {
        return Err(Refusal::Broken("it does not begin with its header".to_owned()));
    }
    let mut cleaner = Cleaner {
        rewrite: Rewrite::new(picture),
        header: Header::parse(first.data)?,
        is_animated: is_animated(picture)?,
        frames: 0,
        frames_seen: 0,
        palette_entries: 0,
        seen: Vec::new(),
    };
    cleaner.rewrite.keep(0..SIGNATURE_BYTES);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        if !matches!(&chunk.kind, b"IDAT" | b"fdAT") {
            chunk.check()?;
        }
        if chunk.kind == *b"IEND" {
            cleaner.rewrite.put(&chunk_of(*b"IEND", &[]));
            return if cleaner.frames == cleaner.frames_seen {
                Ok(cleaner.rewrite.finish().into_bytes(picture))
            } else {
                Err(Refusal::Broken("it has more or fewer frames than it says".to_owned()))
            };
        }
        cleaner.chunk(chunk)?;
    }
    Err(Refusal::TooManyBlocks)
}

/// Whether there is an acTL where it counts: before the first IDAT.
fn is_animated(picture: &[u8]) -> Result<bool, Refusal> {
    for chunk in chunks(picture) {
        match &chunk?.kind {
            b"acTL" => return Ok(true),
            b"IDAT" | b"IEND" => return Ok(false),
            _ => {}
        }
    }
    Err(Refusal::TooManyBlocks)
}

struct Cleaner<'a> {
    rewrite: Rewrite<'a>,
    header: Header,
    is_animated: bool,
    /// How many frames the animation says it has.
    frames: u32,
    frames_seen: u32,
    palette_entries: usize,
    /// Chunks that may be there once, and IDAT.
    seen: Vec<[u8; 4]>,
}

impl Cleaner<'_> {
    fn chunk(&mut self, chunk: Chunk<'_>) -> Result<(), Refusal> {
        let Chunk { kind, ref range, data, .. } = chunk;
        let range = range.clone();
        match &kind {
            b"IDAT" => {
                self.is_first(kind);
                self.rewrite.keep(range);
            }
            b"fcTL" | b"fdAT" if self.is_animated => {
                self.frames_seen += u32::from(kind == *b"fcTL");
                if kind == *b"fcTL" && data.len() != 26 {
                    return Err(wrong_length(kind));
                }
                self.rewrite.keep(range);
            }
            b"acTL" if self.is_animated => {
                let [f0, f1, f2, f3, _, _, _, _] = *data else { return Err(wrong_length(kind)) };
                if !self.is_first(kind) {
                    return Err(Refusal::Broken("it says twice how many frames it has".to_owned()));
                }
                self.frames = u32::from_be_bytes([f0, f1, f2, f3]);
                self.rewrite.keep(range);
            }
            b"IHDR" if self.is_first(kind) => self.rewrite.keep(range),
            b"PLTE" if self.is_first(kind) => self.palette(data)?,
            b"IHDR" | b"PLTE" => return Err(Refusal::Broken(format!("a second {}", kind.escape_ascii()))),
            b"eXIf" if self.is_first(kind) => {
                if let Some(orientation) = orientation::read(data) {
                    self.rewrite.put(&chunk_of(kind, &orientation::write(orientation)));
                }
            }
            // A decoder that does not know a chunk whose name begins with a capital can not show the picture.
            [b'A'..=b'Z', ..] if kind != *b"IHDR" => {
                return Err(Refusal::Broken(format!("what its {} says is not known", kind.escape_ascii())));
            }
            _ if !self.seen.contains(b"IDAT") => self.ancillary(chunk)?,
            _ => {}
        }
        Ok(())
    }

    /// What says how pixels are to be shown, if it has its length.
    fn ancillary(&mut self, Chunk { kind, range, data, .. }: Chunk<'_>) -> Result<(), Refusal> {
        let samples = match self.header.color {
            Color::Gray | Color::GrayAlpha => 1,
            Color::Rgb | Color::Rgba => 3,
            Color::Indexed => 0,
        };
        let is_opaque = matches!(self.header.color, Color::Gray | Color::Rgb);
        let length = match &kind {
            b"iCCP" if self.is_first(kind) => {
                if let Some(profile) =
                    profile(data)?.and_then(|profile| icc::reduced(&profile, self.header.pixel_space()))
                {
                    self.rewrite.put(&chunk_of(kind, &[PROFILE_PREFIX, &zlib(&profile)].concat()));
                }
                return Ok(());
            }
            b"tRNS" if samples == 0 && self.is_first(kind) => {
                let entries = data.get(..self.palette_entries).unwrap_or(data);
                self.rewrite.put(&if entries.is_empty() { Vec::new() } else { chunk_of(kind, entries) });
                return Ok(());
            }
            b"tRNS" if is_opaque => 2 * samples,
            b"bKGD" => {
                if samples == 0 {
                    1
                } else {
                    2 * samples
                }
            }
            b"sBIT" => match self.header.color {
                Color::Gray => 1,
                Color::GrayAlpha => 2,
                Color::Rgb | Color::Indexed => 3,
                Color::Rgba => 4,
            },
            b"sRGB" => 1,
            b"gAMA" | b"cICP" => 4,
            b"cLLI" => 8,
            b"pHYs" => 9,
            b"mDCV" => 24,
            b"cHRM" => 32,
            _ => return Ok(()),
        };
        if self.is_first(kind) && data.len() == length {
            self.rewrite.keep(range);
        }
        Ok(())
    }

    /// Keeps the palette of indexed pixels, and no more entries than an index can name. For others it is a suggestion.
    fn palette(&mut self, data: &[u8]) -> Result<(), Refusal> {
        if self.header.color != Color::Indexed {
            return Ok(());
        }
        if data.is_empty() || !data.len().is_multiple_of(3) {
            return Err(wrong_length(*b"PLTE"));
        }
        let entries = data.get(..3 * self.header.palette_max()).unwrap_or(data);
        self.palette_entries = entries.len() / 3;
        self.rewrite.put(&chunk_of(*b"PLTE", entries));
        Ok(())
    }

    /// Whether no other of this kind was there.
    fn is_first(&mut self, kind: [u8; 4]) -> bool {
        let is_first = !self.seen.contains(&kind);
        if is_first {
            self.seen.push(kind);
        }
        is_first
    }
}

/// What iCCP holds: a name, a 0, the method 0, and zlib's stream (W3C PNG, 11.3.2.3). Decoders ignore a chunk that does not.
fn profile(data: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let name_end = memchr::memchr(0, data).unwrap_or(data.len());
    let [0, 0, stream @ ..] = data.get(name_end..).unwrap_or_default() else { return Ok(None) };
    match fdeflate::decompress_to_vec_bounded(stream, PROFILE_BYTES_MAX) {
        Ok(profile) => {
            visits::add(profile.len());
            Ok(Some(profile))
        }
        Err(BoundedDecompressionError::OutputTooLarge { .. }) => Err(Refusal::ProfileTooLarge),
        Err(BoundedDecompressionError::DecompressionError { .. }) => Ok(None),
    }
}

/// A zlib stream of stored blocks (RFC 1950, RFC 1951): a profile that has been reduced is small, or random to deflate.
fn zlib(data: &[u8]) -> Vec<u8> {
    const BLOCK_BYTES_MAX: usize = 0xffff;
    let mut stream = b"\x78\x01".to_vec();
    let mut blocks = data.chunks(BLOCK_BYTES_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&simd_adler32::adler32(&data).to_be_bytes());
    stream
}

fn wrong_length(kind: [u8; 4]) -> Refusal {
    Refusal::Broken(format!("its {} has a wrong length", kind.escape_ascii()))
}
