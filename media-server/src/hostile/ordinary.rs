//! Baselines: images of noise, which costs every decoder the most for its pixels and bytes.

use std::num::Wrapping;

/// The largest upload by default, in bytes.
const BYTES_MAX: usize = 10 * 1024 * 1024;

/// Deterministic pseudorandom bytes (Marsaglia's xorshift).
pub(super) fn noise(count: usize) -> Vec<u8> {
    let mut state = Wrapping(0x9e37_79b9_7f4a_7c15_u64);
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.0.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Returns width and height of a square of at least `pixels`.
pub(super) fn square(pixels: usize) -> (u32, u32) {
    let side = pixels.isqrt() as u32 + 1;
    (side, side)
}

/// A lossless WebP of noise.
pub(super) fn webp(pixels: usize, bytes: usize) -> Vec<u8> {
    let (width, height) = square(pixels.max(bytes / 4 + 1));
    let mut picture = Vec::new();
    let samples = noise(width as usize * height as usize * 4);
    let encoder = image_webp::WebPEncoder::new(&mut picture);
    encoder.encode(&samples, width, height, image_webp::ColorType::Rgba8).unwrap();
    picture
}

/// A GIF of noise in 256 colors.
pub(super) fn gif(pixels: usize, bytes: usize) -> Vec<u8> {
    let (width, height) = square(pixels.max(bytes * 3 / 4));
    let mut picture = Vec::new();
    let palette = noise(3 * 256);
    let mut encoder = gif::Encoder::new(&mut picture, width as u16, height as u16, &palette).unwrap();
    let samples = noise(width as usize * height as usize);
    encoder
        .write_frame(&gif::Frame {
            width: width as u16,
            height: height as u16,
            buffer: samples.into(),
            ..gif::Frame::default()
        })
        .unwrap();
    drop(encoder);
    picture
}

/// A PNG of gradients with noise, like a photograph, of as many pixels for its bytes as fit into 10 MiB.
pub(super) fn png(pixels: usize, bytes: usize) -> Vec<u8> {
    [50, 48, 46, 44, 42, 40]
        .into_iter()
        .map(|percent| png_of(pixels.max(bytes * percent / 100)))
        .find(|picture| picture.len() <= BYTES_MAX)
        .unwrap()
}

fn png_of(pixels: usize) -> Vec<u8> {
    let (width, height) = square(pixels);
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Balanced);
    encoder.write_header().unwrap().write_image_data(&photograph(width, height)).unwrap();
    picture
}

/// A JPEG of gradients with noise, of the best quality that fits into 10 MiB.
pub(super) fn jpeg(pixels: usize, bytes: usize, is_progressive: bool) -> Vec<u8> {
    let (width, height) = square(pixels.max(bytes * 5 / 4));
    let samples = photograph(width, height);
    let encoded = |quality| {
        let mut picture = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut picture, quality);
        encoder.set_progressive(is_progressive);
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_1);
        encoder.encode(&samples, width as u16, height as u16, jpeg_encoder::ColorType::Rgb).unwrap();
        picture
    };
    [90, 60, 30, 10, 1].into_iter().map(encoded).find(|picture| picture.len() <= BYTES_MAX).unwrap()
}

/// RGB samples of gradients with five bits of noise.
fn photograph(width: u32, height: u32) -> Vec<u8> {
    let mut samples = noise(width as usize * height as usize * 3);
    for (row, samples) in samples.chunks_exact_mut(width as usize * 3).enumerate() {
        for (column, sample) in samples.iter_mut().enumerate() {
            *sample = (*sample >> 3).wrapping_add((row / 16 + column / 48) as u8);
        }
    }
    samples
}
