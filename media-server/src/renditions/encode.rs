//! Renditions as files.

use bytes::Bytes;
use image_webp::WebPEncoder;
use jpeg_encoder::{Encoder, SamplingFactor};
use shared::media_api::ImageKind;

use super::frame::{Samples, Square};

/// The quality of a JPEG, as libjpeg counts it, with colours at half the resolution: nobody sees the difference from 90,
/// which takes a quarter more. Small ones are made of the largest; half as wide, that costs them 0.13 dB.
const JPEG_QUALITY: u8 = 85;

/// A rendition in its formats.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// JPEG where it is opaque, else PNG.
    pub kind: ImageKind,
    /// For everybody.
    pub bytes: Bytes,
    /// WebP, where that is smaller.
    pub webp: Option<Bytes>,
}

/// Why a rendition can't be written: a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("a rendition is not encoded: {0}")]
pub struct EncodeError(String);

impl EncodeError {
    fn new(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// Encodes a square of [`Samples::Rgb`] or [`Samples::Rgba`].
pub(super) fn encode(square: &Square) -> Result<Encoded, EncodeError> {
    let (kind, bytes) = match square.samples {
        Samples::Rgba => (ImageKind::Png, png(square)?),
        _ => (ImageKind::Jpeg, jpeg(square)?),
    };
    let webp = Some(webp(square)?).filter(|webp| webp.len() < bytes.len());
    Ok(Encoded { kind, bytes: bytes.into(), webp: webp.map(Bytes::from) })
}

fn jpeg(square: &Square) -> Result<Vec<u8>, EncodeError> {
    let side = u16::try_from(square.side).map_err(EncodeError::new)?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    // Tables of its own would save 2 %, and take a pass more.
    encoder.set_optimized_huffman_tables(false);
    encoder.encode(&square.pixels, side, side, jpeg_encoder::ColorType::Rgb).map_err(EncodeError::new)?;
    Ok(bytes)
}

fn png(square: &Square) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, square.side, square.side);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().map_err(EncodeError::new)?;
    writer.write_image_data(&square.pixels).map_err(EncodeError::new)?;
    writer.finish().map_err(EncodeError::new)?;
    Ok(bytes)
}

/// Lossless, which is smaller for what is drawn and not for photographs: no lossy encoder in safe Rust is kept by more
/// than one person, or fast enough.
fn webp(square: &Square) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let colours = match square.samples {
        Samples::Rgba => image_webp::ColorType::Rgba8,
        _ => image_webp::ColorType::Rgb8,
    };
    WebPEncoder::new(&mut bytes).encode(&square.pixels, square.side, square.side, colours).map_err(EncodeError::new)?;
    Ok(bytes)
}
