//! Drops the chunks of a PNG that are not the picture.

use std::ops::Range;

use bytes::Bytes;
use fdeflate::BoundedDecompressionError;

use crate::images::orientation;
use crate::images::rewrite::Rewrite;
use crate::images::{BLOCKS_MAX, PROFILE_BYTES_MAX, Refusal};

const SIGNATURE_BYTES: usize = 8;
/// A chunk without its data: length, type and checksum.
const FRAME_BYTES: usize = 12;

/// Keeps what is drawn and how it is to be shown, and an animation; the orientation as an eXIf of its own. A checksum
/// must hold even where the chunk is dropped: a file that was damaged is not guessed at. (IDAT's and fdAT's are left to
/// the decoder.)
pub(in crate::images) fn clean(picture: &Bytes) -> Result<Bytes, Refusal> {
    let mut cleaner = Cleaner {
        rewrite: Rewrite::new(picture),
        is_animated: is_animated(picture)?,
        frames: None,
        frames_seen: 0,
        is_oriented: false,
    };
    cleaner.rewrite.keep(0..SIGNATURE_BYTES);
    for chunk in chunks(picture) {
        let chunk = chunk?;
        if chunk.kind == *b"IEND" {
            cleaner.rewrite.keep(chunk.range);
            return if cleaner.frames.is_none_or(|frames| frames == cleaner.frames_seen) {
                Ok(cleaner.rewrite.finish())
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

/// As many as a picture may have; an error where one is cut short or broken.
fn chunks(picture: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, Refusal>> {
    let mut at = SIGNATURE_BYTES;
    let next = move || {
        let chunk = Chunk::read(picture, at)?;
        at = chunk.range.end;
        Ok(chunk)
    };
    std::iter::repeat_with(next).take(BLOCKS_MAX)
}

struct Chunk<'a> {
    kind: [u8; 4],
    range: Range<usize>,
    data: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(picture: &'a [u8], at: usize) -> Result<Self, Refusal> {
        let rest = picture.get(at..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk().ok_or(Refusal::Truncated)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Refusal::Truncated)?;
        let (kind, rest) = rest.split_first_chunk().ok_or(Refusal::Truncated)?;
        let (data, rest) = rest.split_at_checked(length).ok_or(Refusal::Truncated)?;
        let checksum = rest.first_chunk().ok_or(Refusal::Truncated)?;
        if !matches!(kind, b"IDAT" | b"fdAT") && u32::from_be_bytes(*checksum) != crc(*kind, data) {
            return Err(Refusal::Broken(format!("the checksum of its {} is wrong", kind.escape_ascii())));
        }
        Ok(Self { kind: *kind, range: at..at + length + FRAME_BYTES, data })
    }
}

struct Cleaner<'a> {
    rewrite: Rewrite<'a>,
    is_animated: bool,
    /// How many frames the animation says it has.
    frames: Option<u32>,
    frames_seen: u32,
    is_oriented: bool,
}

impl Cleaner<'_> {
    fn chunk(&mut self, chunk: Chunk<'_>) -> Result<(), Refusal> {
        let Chunk { kind, range, data } = chunk;
        match &kind {
            b"IHDR" | b"PLTE" | b"IDAT" | b"tRNS" | b"gAMA" | b"cHRM" | b"sRGB" | b"cICP" | b"mDCV" | b"cLLI"
            | b"sBIT" | b"bKGD" | b"pHYs" => self.rewrite.keep(range),
            b"iCCP" if is_profile(data)? => self.rewrite.keep(range),
            b"acTL" if self.is_animated => {
                let count = data.first_chunk().ok_or(Refusal::Truncated)?;
                if self.frames.replace(u32::from_be_bytes(*count)).is_some() {
                    return Err(Refusal::Broken("it says twice how many frames it has".to_owned()));
                }
                self.rewrite.keep(range);
            }
            b"fcTL" | b"fdAT" if self.is_animated => {
                self.frames_seen += u32::from(kind == *b"fcTL");
                self.rewrite.keep(range);
            }
            b"eXIf" if !self.is_oriented => {
                if let Some(orientation) = orientation::read(data) {
                    self.is_oriented = true;
                    self.rewrite.replace(range, chunk_of(*b"eXIf", &orientation::write(orientation)));
                }
            }
            // Who does not know a chunk whose name begins with a capital can not show the picture.
            [b'A'..=b'Z', ..] => {
                return Err(Refusal::Broken(format!("what its {} says is not known", kind.escape_ascii())));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether it is a name, a 0, the method 0, and zlib's stream (W3C PNG, 11.3.2.3). Who shows the picture passes over a
/// profile that is not, so it may go.
fn is_profile(data: &[u8]) -> Result<bool, Refusal> {
    let name_end = memchr::memchr(0, data).unwrap_or(data.len());
    let [0, 0, stream @ ..] = data.get(name_end..).unwrap_or_default() else { return Ok(false) };
    match fdeflate::decompress_to_vec_bounded(stream, PROFILE_BYTES_MAX) {
        Ok(_) => Ok(true),
        Err(BoundedDecompressionError::OutputTooLarge { .. }) => Err(Refusal::ProfileTooLarge),
        Err(BoundedDecompressionError::DecompressionError { .. }) => Ok(false),
    }
}

fn chunk_of(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length, &kind, data, &crc(kind, data).to_be_bytes()].concat()
}

fn crc(kind: [u8; 4], data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&kind);
    hasher.update(data);
    hasher.finalize()
}
