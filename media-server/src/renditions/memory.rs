//! Memory of making a rendition: the maximum of its stages, each of which frees what the one before held.

use shared::media_api::ImageKind;

use super::raster::Samples;
use super::{decode, resize};
use crate::formats::{ImageError, ScaledCrop, detect_kind, jpeg, webp};

/// Constant part: decoders with their windows, tables of encoders.
const BASE_BYTES: u64 = 1024 * 1024;

/// Tables of a color conversion.
const COLOR_BYTES: u64 = 3 * 1024 * 1024;

/// Parsed tables of a profile, as a multiple of its bytes.
const PROFILE_COPIES_PARSED: u64 = 6;

/// In the decoder, in the raster, and between them.
const PROFILE_COPIES: u64 = 3;

/// Per pixel of a rendition while it is converted, turned and encoded.
const ENCODED_PIXEL_BYTES: u64 = 32;

/// The decoding stage and its result.
struct Decoding {
    peak_bytes: u64,
    width: u32,
    height: u32,
    samples: Samples,
    profile_bytes: u64,
}

/// Returns the memory of making a rendition of `size` pixels from an image, in bytes.
pub(super) fn bytes(picture: &[u8], size: u32) -> Result<u64, ImageError> {
    let decoding = match detect_kind(picture).ok_or(ImageError::UnknownKind)? {
        ImageKind::Jpeg => of_jpeg(picture, size)?,
        ImageKind::Png => of_png(picture)?,
        ImageKind::Gif => of_gif(picture)?,
        ImageKind::Webp => of_webp(picture)?,
    };
    Ok(total(&decoding, size))
}

/// Returns the memory of making a rendition of `size` pixels from a crop, in bytes, the crop included.
pub(super) fn crop_bytes(crop: &ScaledCrop, size: u32) -> u64 {
    let decoding = Decoding {
        peak_bytes: crop.memory_bytes(),
        width: crop.side(),
        height: crop.side(),
        samples: Samples::Cmyk,
        profile_bytes: crop.profile.as_deref().map_or(0, |profile| profile.len() as u64),
    };
    total(&decoding, size)
}

fn total(decoding: &Decoding, size: u32) -> u64 {
    let Decoding { peak_bytes, width, height, samples, profile_bytes } = *decoding;
    let frame_bytes = u64::from(width) * u64::from(height) * samples.count() as u64;
    let pixels = u64::from(size.min(width).min(height)).pow(2);
    let resizing = frame_bytes + resize::memory_bytes(width, height, samples, size);
    let finishing = COLOR_BYTES + PROFILE_COPIES_PARSED * profile_bytes + pixels * ENCODED_PIXEL_BYTES;
    BASE_BYTES + PROFILE_COPIES * profile_bytes + peak_bytes.max(resizing).max(finishing)
}

fn of_jpeg(picture: &[u8], size: u32) -> Result<Decoding, ImageError> {
    let (peak_bytes, width, profile_bytes) = jpeg::crop_memory_bytes(picture, size)?;
    Ok(Decoding { peak_bytes, width, height: width, samples: Samples::Cmyk, profile_bytes })
}

fn of_png(picture: &[u8]) -> Result<Decoding, ImageError> {
    /// Filtered, unfiltered and converted rows.
    const ROWS: u64 = 6;
    const WINDOW_BYTES: u64 = 512 * 1024;
    let reader = decode::png_reader(picture)?;
    let info = reader.info();
    Ok(Decoding {
        peak_bytes: reader.output_buffer_size().ok_or(ImageError::Sides)? as u64
            + ROWS * info.raw_row_length() as u64
            + WINDOW_BYTES,
        width: info.width,
        height: info.height,
        samples: decode::png_samples(reader.output_color_type().0),
        profile_bytes: info.icc_profile.as_deref().map_or(0, |profile| profile.len() as u64),
    })
}

fn of_gif(picture: &[u8]) -> Result<Decoding, ImageError> {
    /// RGBA, and of the frame also the palette index.
    const PIXEL_BYTES: u64 = 4;
    const FRAME_PIXEL_BYTES: u64 = 5;
    /// LZW tables and buffers.
    const TABLES_BYTES: u64 = 256 * 1024;
    let mut decoder = decode::gif_decoder(picture)?;
    let (width, height) = decode::gif_screen(&mut decoder)?;
    let frame = decoder.current_frame_info().ok_or(ImageError::Empty)?;
    let mut peak_bytes = u64::from(frame.width) * u64::from(frame.height) * FRAME_PIXEL_BYTES + TABLES_BYTES;
    if (u32::from(frame.width), u32::from(frame.height), frame.left, frame.top) != (width, height, 0, 0) {
        peak_bytes += u64::from(width) * u64::from(height) * PIXEL_BYTES;
    }
    Ok(Decoding { peak_bytes, width, height, samples: Samples::Rgba, profile_bytes: 0 })
}

fn of_webp(picture: &[u8]) -> Result<Decoding, ImageError> {
    let webp::Footprint { peak_bytes, width, height, has_alpha, profile_bytes } = webp::footprint(picture)?;
    let samples = if has_alpha { Samples::Rgba } else { Samples::Rgb };
    Ok(Decoding { peak_bytes, width, height, samples, profile_bytes })
}
