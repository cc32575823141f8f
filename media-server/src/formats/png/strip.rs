//! Metadata stripping of PNG.
//!
//! Not removed: palette entries that no pixel uses, frames that hide others, and data hidden in the pixels.

use bytes::Bytes;
use fdeflate::BoundedDecompressionError;

use super::chunks::{PngChunk, SIGNATURE_BYTES, chunk_of, chunks};
use super::header::{ColorType, Header};
use crate::formats::icc;
use crate::formats::rewrite::Rewrite;
use crate::formats::{ImageError, PROFILE_BYTES_MAX, orientation, visits};

/// Profile name, terminator and compression method of every iCCP that is written.
const PROFILE_PREFIX: &[u8] = b"ICC\0\0";

/// Keeps image data, animation and chunks that define colors, and the orientation as a minimal eXIf. An ancillary chunk is kept
/// once, if it has the length of the standard and precedes the image data (eXIf may follow it). CRCs are checked even of
/// dropped chunks: a damaged file is rejected. (Those of IDAT and fdAT are checked by the verifier.)
pub(in crate::formats) fn strip_metadata(picture: &Bytes) -> Result<Bytes, ImageError> {
    let first = chunks(picture).next().ok_or(ImageError::Truncated)??;
    if first.kind != *b"IHDR" {
        return Err(ImageError::malformed("no IHDR at the start"));
    }
    let mut stripper = Stripper {
        rewrite: Rewrite::new(picture),
        header: Header::parse(first.data)?,
        is_animated: is_animated(picture)?,
        frames: 0,
        frames_seen: 0,
        palette_entries: 0,
        seen: Vec::new(),
    };
    stripper.rewrite.keep(0..SIGNATURE_BYTES);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        if !matches!(&chunk.kind, b"IDAT" | b"fdAT") {
            chunk.check_crc()?;
        }
        if chunk.kind == *b"IEND" {
            stripper.rewrite.put(&chunk_of(*b"IEND", &[]));
            return if stripper.frames == stripper.frames_seen {
                Ok(stripper.rewrite.finish().into_bytes(picture))
            } else {
                Err(ImageError::malformed("another number of frames than in acTL"))
            };
        }
        stripper.chunk(chunk)?;
    }
    Err(ImageError::TooManyBlocks)
}

/// Whether there is an acTL before the first IDAT.
fn is_animated(picture: &[u8]) -> Result<bool, ImageError> {
    for chunk in chunks(picture) {
        match &chunk?.kind {
            b"acTL" => return Ok(true),
            b"IDAT" | b"IEND" => return Ok(false),
            _ => {}
        }
    }
    Err(ImageError::TooManyBlocks)
}

struct Stripper<'a> {
    rewrite: Rewrite<'a>,
    header: Header,
    is_animated: bool,
    /// Of acTL.
    frames: u32,
    frames_seen: u32,
    palette_entries: usize,
    /// Types of singleton chunks seen, and IDAT.
    seen: Vec<[u8; 4]>,
}

impl Stripper<'_> {
    fn chunk(&mut self, chunk: PngChunk<'_>) -> Result<(), ImageError> {
        let PngChunk { kind, ref range, data, .. } = chunk;
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
                    return Err(ImageError::malformed("a second acTL"));
                }
                self.frames = u32::from_be_bytes([f0, f1, f2, f3]);
                self.rewrite.keep(range);
            }
            b"IHDR" if self.is_first(kind) => self.rewrite.keep(range),
            b"PLTE" if self.is_first(kind) => self.palette(data)?,
            b"IHDR" | b"PLTE" => return Err(ImageError::malformed(format!("a second {}", kind.escape_ascii()))),
            b"eXIf" if self.is_first(kind) => {
                if let Some(orientation) = orientation::read(data) {
                    self.rewrite.put(&chunk_of(kind, &orientation::write(orientation)));
                }
            }
            // An unknown critical chunk: decoders cannot show the image.
            [b'A'..=b'Z', ..] if kind != *b"IHDR" => {
                return Err(ImageError::malformed(format!("unknown critical chunk {}", kind.escape_ascii())));
            }
            _ if !self.seen.contains(b"IDAT") => self.ancillary(chunk)?,
            _ => {}
        }
        Ok(())
    }

    /// Keeps an ancillary chunk that affects rendering, if its length is right.
    fn ancillary(&mut self, PngChunk { kind, range, data, .. }: PngChunk<'_>) -> Result<(), ImageError> {
        let samples = match self.header.color {
            ColorType::Gray | ColorType::GrayAlpha => 1,
            ColorType::Rgb | ColorType::Rgba => 3,
            ColorType::Indexed => 0,
        };
        let is_opaque = matches!(self.header.color, ColorType::Gray | ColorType::Rgb);
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
                ColorType::Gray => 1,
                ColorType::GrayAlpha => 2,
                ColorType::Rgb | ColorType::Indexed => 3,
                ColorType::Rgba => 4,
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

    /// Keeps the palette of indexed images, up to the largest index. Of others it is a suggestion, and dropped.
    fn palette(&mut self, data: &[u8]) -> Result<(), ImageError> {
        if self.header.color != ColorType::Indexed {
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

    /// Whether this is the first chunk of this type.
    fn is_first(&mut self, kind: [u8; 4]) -> bool {
        let is_first = !self.seen.contains(&kind);
        if is_first {
            self.seen.push(kind);
        }
        is_first
    }
}

/// Decompresses iCCP (W3C PNG, 11.3.2.3); `None` if it is invalid, which decoders ignore.
fn profile(data: &[u8]) -> Result<Option<Vec<u8>>, ImageError> {
    let name_end = memchr::memchr(0, data).unwrap_or(data.len());
    let [0, 0, stream @ ..] = data.get(name_end..).unwrap_or_default() else { return Ok(None) };
    match fdeflate::decompress_to_vec_bounded(stream, PROFILE_BYTES_MAX) {
        Ok(profile) => {
            visits::add(profile.len());
            Ok(Some(profile))
        }
        Err(BoundedDecompressionError::OutputTooLarge { .. }) => Err(ImageError::ProfileTooLarge),
        Err(BoundedDecompressionError::DecompressionError { .. }) => Ok(None),
    }
}

/// Returns a zlib stream of stored blocks (RFC 1950, RFC 1951): a reduced profile is small, or hardly compressible.
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

fn wrong_length(kind: [u8; 4]) -> ImageError {
    ImageError::malformed(format!("{} of a wrong length", kind.escape_ascii()))
}
