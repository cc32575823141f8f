//! Verification of a JPEG: decodes all scans to coefficients.

use bytes::Bytes;

use super::VISIT_STEPS;
use super::crop::{CropRect, ScaledCrop};
use super::frame::JpegFrame;
use super::metadata::JpegMetadata;
use super::scan::Scan;
use super::segments::{APP2, DHT, DQT, DRI, EOI, SOS, Segments};
use super::tables::Tables;
use crate::formats::rewrite::{Rewrite, Rewritten};
use crate::formats::work::Work;
use crate::formats::{ImageError, PictureLimits, check_size};

/// How often the scans of a file may visit each of its blocks. libjpeg's progressive files visit a block six times, mozjpeg's
/// eight times.
const VISITS_MAX: u64 = 16;

/// Returns the memory that [`verify`] takes, in bytes.
pub(in crate::formats) fn memory_bytes(file: &[u8], limits: PictureLimits) -> Result<u64, ImageError> {
    let frame = frame_header(file)?;
    check_size(frame.width, frame.height, 1, limits)?;
    check_scans(file, &frame)?;
    Ok(frame.memory_bytes())
}

/// Checks by the scan headers how often blocks are visited.
fn check_scans(file: &[u8], frame: &JpegFrame) -> Result<(), ImageError> {
    let mut work = Work::default();
    limit(&mut work, frame);
    let mut segments = Segments::new(file);
    loop {
        let segment = segments.next()?;
        match segment.marker {
            SOS => {
                work.spend(Scan::parse(segment.data, frame)?.blocks(frame) * VISIT_STEPS)?;
                segments.entropy_coded()?;
            }
            EOI => return Ok(()),
            _ => {}
        }
    }
}

fn limit(work: &mut Work, frame: &JpegFrame) {
    work.limit(frame.blocks(), 0, (VISITS_MAX * VISIT_STEPS, 0));
}

/// Returns the memory of [`scaled_crop`] and of its pixels, in bytes; the side of the crop; and the bytes of the ICC profile.
pub(crate) fn crop_memory_bytes(file: &[u8], size: u32) -> Result<(u64, u32, u64), ImageError> {
    let frame = frame_header(file)?;
    let rect = CropRect::new(&frame, size);
    let bytes = frame.memory_bytes() + rect.memory_bytes(&frame);
    let mut segments = Segments::new(file);
    let mut profile_bytes = 0;
    loop {
        let segment = segments.next()?;
        match segment.marker {
            APP2 => profile_bytes += segment.data.len() as u64,
            SOS | EOI => return Ok((bytes, rect.side(), profile_bytes)),
            _ => {}
        }
    }
}

fn frame_header(file: &[u8]) -> Result<JpegFrame, ImageError> {
    let mut segments = Segments::new(file);
    loop {
        let segment = segments.next()?;
        match segment.marker {
            0xc0..=0xc2 => return JpegFrame::parse(segment.marker, segment.data),
            SOS | EOI => return Err(ImageError::Empty),
            _ => {}
        }
    }
}

/// Decodes all scans. Returns the file with each interval of entropy-coded data padded with ones.
///
/// A file that was cut and closed with EOI is rejected, since blocks are missing. One that was cut between two scans of a
/// progressive file is complete by the standard: T.81 G.1.1 does not require all bits.
pub(in crate::formats) fn verify(file: &Bytes, work: &mut Work) -> Result<Bytes, ImageError> {
    Ok(decode_frame(file, None, work)?.padded.into_bytes(file))
}

/// Verifies, and keeps the center crop for a rendition of `size` pixels.
pub(in crate::formats) fn verify_and_crop(
    file: &Bytes,
    size: u32,
    work: &mut Work,
) -> Result<(Bytes, ScaledCrop), ImageError> {
    let (crop, padded) = decode_frame(file, Some(size), work)?.into_crop(size);
    Ok((padded.into_bytes(file), crop))
}

/// Decodes the center crop for a rendition of `size` pixels.
pub(crate) fn scaled_crop(file: &[u8], size: u32, work: &mut Work) -> Result<ScaledCrop, ImageError> {
    Ok(decode_frame(file, Some(size), work)?.into_crop(size).0)
}

struct DecodedJpeg {
    frame: JpegFrame,
    metadata: JpegMetadata,
    padded: Rewritten,
}

impl DecodedJpeg {
    fn into_crop(self, size: u32) -> (ScaledCrop, Rewritten) {
        (CropRect::new(&self.frame, size).into_crop(self.frame, self.metadata), self.padded)
    }
}

fn decode_frame(file: &[u8], crop_size: Option<u32>, work: &mut Work) -> Result<DecodedJpeg, ImageError> {
    let mut segments = Segments::new(file);
    let mut tables = Tables::default();
    let mut metadata = JpegMetadata::default();
    let mut frame: Option<JpegFrame> = None;
    let mut padded = Rewrite::new(file);
    let mut padded_to = 0;
    loop {
        let segment = segments.next()?;
        match segment.marker {
            DQT => tables.define_quantization(segment.data)?,
            DHT => tables.define_huffman(segment.data)?,
            DRI => tables.define_restarts(segment.data)?,
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(ImageError::malformed("a second frame"));
                }
                let frame = frame.insert(JpegFrame::parse(segment.marker, segment.data)?);
                frame.allocate();
                limit(work, frame);
                if let Some(size) = crop_size {
                    CropRect::new(frame, size).allocate_coefficients(frame);
                }
            }
            SOS => {
                let coded = segments.entropy_coded()?;
                let data = file.get(coded.clone()).unwrap_or_default();
                let frame = frame.as_mut().ok_or(ImageError::Empty)?;
                let rewritten = Scan::parse(segment.data, frame)?.decode(data, frame, &tables, work)?;
                if let Rewritten::Copy(data) = rewritten {
                    padded.keep(padded_to..coded.start);
                    padded.put(&data);
                    padded_to = coded.end;
                }
            }
            EOI => {
                padded.keep(padded_to..segment.range.end);
                let is_complete = |frame: &JpegFrame| frame.components.iter().all(|component| component.has_dc);
                let frame = frame.filter(is_complete).ok_or(ImageError::Truncated)?;
                return Ok(DecodedJpeg { frame, metadata, padded: padded.finish() });
            }
            _ if crop_size.is_some() => metadata.read(&segment),
            _ => {}
        }
    }
}
