//! Decoding of the first frame of a verified picture, with its color profile and orientation.

use std::io::Cursor;

use gif::ColorOutput;
use image_webp::WebPDecoder;
use shared::media_api::ImageKind;

use super::orient::Orientation;
use super::raster::Samples;
use crate::formats::jpeg::{self, ColorSpace};
use crate::formats::work::Work;
use crate::formats::{ImageError, PROFILE_BYTES_MAX, detect_kind, rounded};

/// Limit of the PNG decoder's memory for chunks: a compressed profile, in a buffer that doubles, and the decompressed one.
const PNG_CHUNK_BYTES_MAX: usize = 3 * PROFILE_BYTES_MAX;

/// Decoded image, not yet turned, in its own color space.
#[derive(Clone, Debug)]
pub(super) struct Raster {
    pub width: u32,
    pub height: u32,
    pub samples: Samples,
    /// Row by row, without gaps.
    pub pixels: Vec<u8>,
    /// ICC profile; without one it is sRGB.
    pub profile: Option<Vec<u8>>,
    pub orientation: Orientation,
}

/// Decodes the first frame of a verified picture, or its center crop at the scale that a square of `size` pixels needs.
pub(super) fn first_frame(picture: &[u8], size: u32, work: &mut Work) -> Result<Raster, ImageError> {
    match detect_kind(picture).ok_or(ImageError::UnknownKind)? {
        ImageKind::Jpeg => Ok(jpeg_crop(&jpeg::scaled_crop(picture, size, work)?)),
        ImageKind::Png => png(picture, work),
        ImageKind::Gif => gif(picture, work),
        ImageKind::Webp => webp(picture, work),
    }
}

/// Returns the pixels of a JPEG's scaled center crop.
pub(super) fn jpeg_crop(crop: &jpeg::ScaledCrop) -> Raster {
    let mut pixels = crop.pixels();
    let samples = match crop.color_space {
        ColorSpace::Gray => Samples::Gray,
        ColorSpace::Rgb => Samples::Rgb,
        ColorSpace::YCbCr => {
            convert_ycbcr_to_rgb(&mut pixels);
            Samples::Rgb
        }
        // Not converted to RGB: a profile may apply to CMYK.
        ColorSpace::Cmyk => Samples::Cmyk,
        ColorSpace::Ycck => {
            cmyk_from_ycck(&mut pixels);
            Samples::Cmyk
        }
    };
    Raster {
        width: crop.side(),
        height: crop.side(),
        samples,
        pixels,
        profile: crop.profile.clone(),
        orientation: crop.orientation.map(Orientation::from_tag).unwrap_or_default(),
    }
}

fn convert_ycbcr_to_rgb(pixels: &mut [u8]) {
    for pixel in pixels.as_chunks_mut::<3>().0 {
        *pixel = rgb(*pixel).map(rounded);
    }
}

/// YCCK (Adobe Technical Note 5116): Y, Cb and Cr encode the complements of red, green and blue.
fn cmyk_from_ycck(pixels: &mut [u8]) {
    for [y, cb, cr, _] in pixels.as_chunks_mut::<4>().0 {
        [*y, *cb, *cr] = rgb([*y, *cb, *cr]).map(|value| rounded(255.0 - value));
    }
}

/// Converts YCbCr to RGB (JFIF, ITU-T T.871).
fn rgb([y, cb, cr]: [u8; 3]) -> [f32; 3] {
    let (luma, blue, red) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue]
}

pub(super) fn png_reader(picture: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, ImageError> {
    let mut options = png::DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    let mut decoder = png::Decoder::new_with_options(Cursor::new(picture), options);
    decoder.set_limits(png::Limits { bytes: PNG_CHUNK_BYTES_MAX });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.read_info().map_err(ImageError::malformed)
}

pub(super) fn png_samples(color: png::ColorType) -> Samples {
    match color {
        png::ColorType::Grayscale => Samples::Gray,
        png::ColorType::GrayscaleAlpha => Samples::GrayAlpha,
        png::ColorType::Rgba => Samples::Rgba,
        png::ColorType::Rgb | png::ColorType::Indexed => Samples::Rgb,
    }
}

fn png(picture: &[u8], work: &mut Work) -> Result<Raster, ImageError> {
    let mut reader = png_reader(picture)?;
    let info = reader.info();
    work.spend(u64::from(info.width) * u64::from(info.height))?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or(ImageError::Sides)?];
    // Of an animation this is the default image, which usually is its first frame.
    let image = reader.next_frame(&mut pixels).map_err(ImageError::malformed)?;
    let samples = png_samples(image.color_type);
    let (width, height) = (image.width, image.height);
    // Reads the metadata after the image; verification has checked it.
    let _ = reader.finish();
    let info = reader.info();
    let orientation = info.exif_metadata.as_deref().map(Orientation::from_exif).unwrap_or_default();
    let profile = info.icc_profile.as_deref().map(<[u8]>::to_vec);
    Ok(Raster { width, height, samples, pixels, profile, orientation })
}

pub(super) fn gif_decoder(picture: &[u8]) -> Result<gif::Decoder<&[u8]>, ImageError> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.read_info(picture).map_err(ImageError::malformed)
}

/// Reads up to the first frame and returns the size of the logical screen, or of the frame where the screen has none.
pub(super) fn gif_screen(decoder: &mut gif::Decoder<&[u8]>) -> Result<(u32, u32), ImageError> {
    let (width, height) = (decoder.width(), decoder.height());
    let frame = decoder.next_frame_info().map_err(ImageError::malformed)?.ok_or(ImageError::Empty)?;
    let screen = if width == 0 || height == 0 { (frame.width, frame.height) } else { (width, height) };
    Ok((screen.0.into(), screen.1.into()))
}

fn gif(picture: &[u8], work: &mut Work) -> Result<Raster, ImageError> {
    let mut decoder = gif_decoder(picture)?;
    let (screen_width, screen_height) = gif_screen(&mut decoder)?;
    let frame = decoder.current_frame_info().ok_or(ImageError::Empty)?;
    let offset = (usize::from(frame.left), usize::from(frame.top));
    let (width, height) = (frame.width, frame.height);
    work.spend(u64::from(width) * u64::from(height))?;
    let mut pixels = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut pixels).map_err(ImageError::malformed)?;
    if (offset, width.into(), height.into()) != ((0, 0), screen_width, screen_height) {
        pixels = on_screen(&pixels, width.into(), offset, (screen_width as usize, screen_height as usize));
    }
    Ok(Raster {
        width: screen_width,
        height: screen_height,
        samples: Samples::Rgba,
        pixels,
        profile: decoder.icc_profile().map(<[u8]>::to_vec),
        orientation: Orientation::default(),
    })
}

/// Draws a frame at its offset on a transparent logical screen, cropped to it.
fn on_screen(
    frame: &[u8],
    frame_width: usize,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
) -> Vec<u8> {
    const PIXEL_BYTES: usize = 4;
    let mut screen = vec![0; width * height * PIXEL_BYTES];
    let rows = screen.chunks_exact_mut(width * PIXEL_BYTES).skip(top);
    for (row, pixels) in rows.zip(frame.chunks_exact((frame_width * PIXEL_BYTES).max(1))) {
        let room = row.get_mut(left * PIXEL_BYTES..).unwrap_or_default();
        let visible = room.len().min(pixels.len());
        if let (Some(room), Some(pixels)) = (room.get_mut(..visible), pixels.get(..visible)) {
            room.copy_from_slice(pixels);
        }
    }
    screen
}

fn webp(picture: &[u8], work: &mut Work) -> Result<Raster, ImageError> {
    let mut decoder = WebPDecoder::new(Cursor::new(picture)).map_err(ImageError::malformed)?;
    let (width, height) = decoder.dimensions();
    let samples = if decoder.has_alpha() { Samples::Rgba } else { Samples::Rgb };
    work.spend(u64::from(width) * u64::from(height))?;
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or(ImageError::Sides)?];
    decoder.read_image(&mut pixels).map_err(ImageError::malformed)?;
    let profile = decoder.icc_profile().map_err(ImageError::malformed)?;
    let exif = decoder.exif_metadata().map_err(ImageError::malformed)?;
    let orientation = exif.as_deref().map(Orientation::from_exif).unwrap_or_default();
    Ok(Raster { width, height, samples, pixels, profile, orientation })
}
