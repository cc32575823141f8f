//! Encoding of renditions.

use bytes::Bytes;
use image_webp::WebPEncoder;
use jpeg_encoder::{Encoder, SamplingFactor};
use shared::media_api::ImageKind;

use super::raster::{Samples, SquareImage};

/// JPEG quality on libjpeg's scale, with 4:2:0 chroma: the difference from 90, which is a quarter larger, can't be seen.
/// Making a size of half the largest from it costs 0.13 dB.
const JPEG_QUALITY: u8 = 85;

/// Encoded rendition.
#[derive(Clone, Debug)]
pub struct EncodedRendition {
    /// JPEG, or PNG where there is alpha.
    pub kind: ImageKind,
    pub bytes: Bytes,
    /// Lossless WebP, where that is smaller.
    pub webp: Option<Bytes>,
}

/// An encoder failed, which is a bug.
#[derive(Debug, thiserror::Error)]
#[error("encoding a rendition failed: {0}")]
pub struct EncodeError(String);

impl EncodeError {
    fn new(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// Encodes [`Samples::Rgb`] or [`Samples::Rgba`].
pub(super) fn encode(square: &SquareImage, with_webp: bool) -> Result<EncodedRendition, EncodeError> {
    let (kind, bytes) = match square.samples {
        Samples::Rgba => (ImageKind::Png, png(square)?),
        _ => (ImageKind::Jpeg, jpeg(square)?),
    };
    let webp = if with_webp { Some(webp(square)?).filter(|webp| webp.len() < bytes.len()) } else { None };
    Ok(EncodedRendition { kind, bytes: bytes.into(), webp: webp.map(Bytes::from) })
}

fn jpeg(square: &SquareImage) -> Result<Vec<u8>, EncodeError> {
    let side = u16::try_from(square.side).map_err(EncodeError::new)?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    // Optimized tables would save 2 % and cost a second pass.
    encoder.set_optimized_huffman_tables(false);
    encoder.encode(&square.pixels, side, side, jpeg_encoder::ColorType::Rgb).map_err(EncodeError::new)?;
    Ok(bytes)
}

fn png(square: &SquareImage) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, square.side, square.side);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().map_err(EncodeError::new)?;
    writer.write_image_data(&square.pixels).map_err(EncodeError::new)?;
    writer.finish().map_err(EncodeError::new)?;
    Ok(bytes)
}

/// Lossless, which is smaller than JPEG for drawings and not for photographs. No lossy encoder in safe Rust is fast enough and
/// maintained by more than one person.
fn webp(square: &SquareImage) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let color = match square.samples {
        Samples::Rgba => image_webp::ColorType::Rgba8,
        _ => image_webp::ColorType::Rgb8,
    };
    WebPEncoder::new(&mut bytes).encode(&square.pixels, square.side, square.side, color).map_err(EncodeError::new)?;
    Ok(bytes)
}
