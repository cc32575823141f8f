//! Metadata stripping of WebP.
//!
//! Not removed: frames that hide others, unused codewords, and data hidden in the pixels.

use bytes::Bytes;

use super::chunks::{CHUNK_HEADER_BYTES, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, RiffChunk, RiffChunks, end_chunk};
use crate::formats::icc::{self, PixelSpace};
use crate::formats::rewrite::Rewrite;
use crate::formats::{BLOCKS_MAX, ImageError, PROFILE_BYTES_MAX, orientation, visits};

/// Flags of VP8X (RFC 9649, section 2.7).
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;
const EXIF: u8 = 0x08;
const ANIMATION: u8 = 0x02;

/// Offset of VP8X's flags.
const FLAGS_AT: usize = FILE_HEADER_BYTES + CHUNK_HEADER_BYTES;

/// Keeps the image or the frames, the ICC profile, and the orientation as a minimal EXIF. Duplicate singleton chunks after the
/// first are dropped. Updates VP8X and sizes, and clears reserved bits and padding.
pub(in crate::formats) fn strip_metadata(picture: &Bytes) -> Result<Bytes, ImageError> {
    let mut rewrite = Rewrite::new(picture);
    rewrite.keep(0..FILE_HEADER_BYTES);
    let mut chunks = RiffChunks::of_file(picture)?;
    let first = chunks.next()?.ok_or(ImageError::Empty)?;
    match &first.name {
        b"VP8 " | b"VP8L" => keep_whole(&mut rewrite, &first)?,
        b"VP8X" => Extended::new(picture, &first)?.strip(&mut rewrite, &first, chunks)?,
        name => return Err(ImageError::malformed(format!("{} as the first chunk", name.escape_ascii()))),
    }
    end_chunk(&mut rewrite, 0)?;
    Ok(rewrite.finish().into_bytes(picture))
}

/// A file that begins with VP8X.
struct Extended<'a> {
    picture: &'a [u8],
    is_animated: bool,
    /// Chunks inside of frames, of the whole file.
    frame_chunks: usize,
    /// Names of singleton chunks seen.
    seen: Vec<[u8; 4]>,
    /// Of VP8X.
    flags: u8,
    still: ImageChunks<'a>,
}

impl<'a> Extended<'a> {
    fn new(picture: &'a [u8], header: &RiffChunk<'_>) -> Result<Self, ImageError> {
        const VP8X_BYTES: usize = 10;
        let [flags, ..] = header.data else { return Err(ImageError::Truncated) };
        if header.data.len() != VP8X_BYTES {
            return Err(ImageError::malformed("VP8X of other than 10 bytes"));
        }
        let (is_animated, flags) = (flags & ANIMATION != 0, flags & (ALPHA | ANIMATION));
        Ok(Self { picture, is_animated, frame_chunks: 0, seen: Vec::new(), flags, still: ImageChunks::default() })
    }

    fn strip(
        mut self,
        rewrite: &mut Rewrite<'_>,
        header: &RiffChunk<'a>,
        mut chunks: RiffChunks<'a>,
    ) -> Result<(), ImageError> {
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

    fn chunk(&mut self, rewrite: &mut Rewrite<'_>, chunk: RiffChunk<'a>) -> Result<(), ImageError> {
        match (&chunk.name, self.is_animated) {
            (b"ANMF", true) => self.frame(rewrite, &chunk)?,
            (b"ANIM", true) if self.is_first(chunk.name) => {
                // Background color and loop count.
                let data = chunk.data.get(..6).ok_or(ImageError::Truncated)?;
                rewrite.put(&chunk_of(*b"ANIM", data));
            }
            (b"ALPH" | b"VP8 " | b"VP8L", false) => self.still.add(rewrite, chunk)?,
            (b"ICCP", _) if self.is_first(chunk.name) => {
                if chunk.data.len() > PROFILE_BYTES_MAX {
                    return Err(ImageError::ProfileTooLarge);
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

    /// Whether this is the first chunk of this name.
    fn is_first(&mut self, name: [u8; 4]) -> bool {
        let is_first = !self.seen.contains(&name);
        if is_first {
            self.seen.push(name);
        }
        is_first
    }

    fn frame(&mut self, rewrite: &mut Rewrite<'_>, frame: &RiffChunk<'a>) -> Result<(), ImageError> {
        let data = frame.range.start + CHUNK_HEADER_BYTES;
        let Some([.., flags]) = frame.data.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(ImageError::Truncated);
        };
        let start = rewrite.len();
        rewrite.keep(frame.range.start..data + FRAME_HEADER_BYTES - 1);
        // Keeps the blending and disposal bits; the others are reserved.
        rewrite.put(&[flags & 3]);
        let mut image = ImageChunks::default();
        let mut chunks = RiffChunks::of_frame(self.picture, frame);
        while let Some(chunk) = chunks.next()? {
            self.frame_chunks += 1;
            if self.frame_chunks > BLOCKS_MAX {
                return Err(ImageError::TooManyBlocks);
            }
            image.add(rewrite, chunk)?;
        }
        end_chunk(rewrite, start)
    }
}

/// The chunks of one image. Alpha counts before a lossy image only.
#[derive(Default)]
struct ImageChunks<'a> {
    alpha: Option<RiffChunk<'a>>,
    has_image: bool,
}

impl<'a> ImageChunks<'a> {
    /// Keeps the first image, and the first alpha before it.
    fn add(&mut self, rewrite: &mut Rewrite<'_>, chunk: RiffChunk<'a>) -> Result<(), ImageError> {
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

/// Keeps an alpha plane, and clears the two reserved bits of its header (section 2.7.1.2).
fn keep_alpha(rewrite: &mut Rewrite<'_>, alpha: &RiffChunk<'_>) -> Result<(), ImageError> {
    let [header, ..] = alpha.data else { return Err(ImageError::Truncated) };
    let (start, data) = (rewrite.len(), alpha.range.start + CHUNK_HEADER_BYTES);
    rewrite.keep(alpha.range.start..data);
    rewrite.put(&[header & 0x3f]);
    rewrite.keep(data + 1..data + alpha.data.len());
    end_chunk(rewrite, start)
}

fn keep_whole(rewrite: &mut Rewrite<'_>, chunk: &RiffChunk<'_>) -> Result<(), ImageError> {
    let start = rewrite.len();
    rewrite.keep(chunk.range.start..chunk.range.start + CHUNK_HEADER_BYTES + chunk.data.len());
    end_chunk(rewrite, start)
}

/// Returns a padded chunk.
fn chunk_of(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
    let padding: &[u8] = if data.len() % 2 == 1 { &[0] } else { &[] };
    [&name, &length, data, padding].concat()
}
