//! The first frame of a picture that has been accepted, with what it says about its colours and its orientation.

use std::io::Cursor;

use gif::ColorOutput;
use image_webp::WebPDecoder;
use shared::media_api::ImageKind;

use super::frame::{Frame, Samples};
use super::orientation::Orientation;
use crate::images::jpeg::{self, Colours};
use crate::images::{PROFILE_BYTES_MAX, Refusal, kind, rounded};

/// What the PNG decoder may hold of chunks, in bytes: a profile, unpacked, and what goes with it.
const PNG_CHUNK_BYTES_MAX: usize = 2 * PROFILE_BYTES_MAX;

/// What the codes of a lossless WebP are thought to take at most, in bytes: some thousand groups of them.
const WEBP_CODES_BYTES: u64 = 64 * 1024 * 1024;

/// What is needed beside pixels, in bytes: a profile and its tables, a few rows, the square and its files.
pub(super) const BASE_BYTES: u64 = 8 * 1024 * 1024;

/// What [`first_frame`], and what follows it, take of memory, in bytes.
pub(super) fn memory_bytes(picture: &[u8], size: u32) -> Result<u64, Refusal> {
    let bytes = match kind(picture).ok_or(Refusal::UnknownKind)? {
        ImageKind::Jpeg => jpeg::middle_memory_bytes(picture, size)?,
        ImageKind::Png => png_reader(picture)?.output_buffer_size().ok_or(Refusal::Sides)? as u64,
        ImageKind::Gif => gif_memory_bytes(picture)?,
        ImageKind::Webp => webp_memory_bytes(picture)?,
    };
    Ok(BASE_BYTES + bytes)
}

/// Decodes the first frame of `picture`, or its middle, as large as a square of `size` pixels needs it. It has been accepted
/// by [`crate::images`], which bounds its size; what fails here is told as there.
pub(super) fn first_frame(picture: &[u8], size: u32) -> Result<Frame, Refusal> {
    match kind(picture).ok_or(Refusal::UnknownKind)? {
        ImageKind::Jpeg => Ok(jpeg_frame(&jpeg::middle(picture, size)?)),
        ImageKind::Png => png(picture),
        ImageKind::Gif => gif(picture),
        ImageKind::Webp => webp(picture),
    }
}

/// The middle of a JPEG, in pixels, and perhaps smaller than it is.
pub(super) fn jpeg_frame(middle: &jpeg::Middle) -> Frame {
    let mut pixels = middle.pixels();
    let samples = match middle.colours {
        Colours::Gray => Samples::Gray,
        Colours::Rgb => Samples::Rgb,
        Colours::YCbCr => {
            rgb_of_ycbcr(&mut pixels);
            Samples::Rgb
        }
        // As they are: with a profile they are more than their product.
        Colours::Cmyk => Samples::Cmyk,
        Colours::Ycck => {
            inks_of_ycck(&mut pixels);
            Samples::Cmyk
        }
    };
    Frame {
        width: middle.side(),
        height: middle.side(),
        samples,
        pixels,
        profile: middle.profile.clone(),
        orientation: middle.orientation.map(Orientation::from_tag).unwrap_or_default(),
    }
}

fn rgb_of_ycbcr(pixels: &mut [u8]) {
    for pixel in pixels.as_chunks_mut::<3>().0 {
        *pixel = lights(*pixel).map(rounded);
    }
}

/// Y, Cb and Cr of a picture of inks (Adobe Technical Note 5116) stand for the complements of red, green and blue.
fn inks_of_ycck(pixels: &mut [u8]) {
    for [y, cb, cr, _] in pixels.as_chunks_mut::<4>().0 {
        [*y, *cb, *cr] = lights([*y, *cb, *cr]).map(|light| rounded(255.0 - light));
    }
}

/// Red, green and blue of Y, Cb and Cr.
fn lights([y, cb, cr]: [u8; 3]) -> [f32; 3] {
    let (light, blue, red) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [light + 1.402 * red, light - 0.344_136 * blue - 0.714_136 * red, light + 1.772 * blue]
}

fn png_reader(picture: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, Refusal> {
    let mut options = png::DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    let mut decoder = png::Decoder::new_with_options(Cursor::new(picture), options);
    decoder.set_limits(png::Limits { bytes: PNG_CHUNK_BYTES_MAX });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.read_info().map_err(Refusal::broken)
}

fn png(picture: &[u8]) -> Result<Frame, Refusal> {
    let mut reader = png_reader(picture)?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or(Refusal::Sides)?];
    // Of an animation this is the image for those who show none; as a rule it is the first frame, too.
    let image = reader.next_frame(&mut pixels).map_err(Refusal::broken)?;
    let samples = match image.color_type {
        png::ColorType::Grayscale => Samples::Gray,
        png::ColorType::GrayscaleAlpha => Samples::GrayAlpha,
        png::ColorType::Rgba => Samples::Rgba,
        png::ColorType::Rgb | png::ColorType::Indexed => Samples::Rgb,
    };
    let (width, height) = (image.width, image.height);
    // What is said after the image counts, too; it has been checked.
    let _ = reader.finish();
    let info = reader.info();
    let orientation = info.exif_metadata.as_deref().map(Orientation::of_exif).unwrap_or_default();
    let profile = info.icc_profile.as_deref().map(<[u8]>::to_vec);
    Ok(Frame { width, height, samples, pixels, profile, orientation })
}

fn gif_decoder(picture: &[u8]) -> Result<gif::Decoder<&[u8]>, Refusal> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.read_info(picture).map_err(Refusal::broken)
}

/// The frame, and the screen that it is laid on.
fn gif_memory_bytes(picture: &[u8]) -> Result<u64, Refusal> {
    let mut decoder = gif_decoder(picture)?;
    let screen = u64::from(decoder.width()) * u64::from(decoder.height());
    let frame = decoder.next_frame_info().map_err(Refusal::broken)?.ok_or(Refusal::Empty)?;
    let (width, height) = (u64::from(frame.width), u64::from(frame.height));
    Ok((screen + width * height) * 4)
}

fn gif(picture: &[u8]) -> Result<Frame, Refusal> {
    let mut decoder = gif_decoder(picture)?;
    let (left, top, width, height) = {
        let frame = decoder.next_frame_info().map_err(Refusal::broken)?.ok_or(Refusal::Empty)?;
        (frame.left.into(), frame.top.into(), usize::from(frame.width), usize::from(frame.height))
    };
    let mut pixels = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut pixels).map_err(Refusal::broken)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let (screen_width, screen_height) = if screen.0 == 0 || screen.1 == 0 { (width, height) } else { screen };
    if (left, top, width, height) != (0, 0, screen_width, screen_height) {
        pixels = placed(&pixels, width, (left, top), (screen_width, screen_height));
    }
    let side = |pixels: usize| u32::try_from(pixels).map_err(|_| Refusal::Sides);
    Ok(Frame {
        width: side(screen_width)?,
        height: side(screen_height)?,
        samples: Samples::Rgba,
        pixels,
        profile: decoder.icc_profile().map(<[u8]>::to_vec),
        orientation: Orientation::default(),
    })
}

/// The frame where it lies on its screen, which is transparent; what lies beside it is not seen.
fn placed(frame: &[u8], frame_width: usize, (left, top): (usize, usize), (width, height): (usize, usize)) -> Vec<u8> {
    const PIXEL_BYTES: usize = 4;
    let mut screen = vec![0; width * height * PIXEL_BYTES];
    let rows = screen.chunks_exact_mut(width * PIXEL_BYTES).skip(top);
    for (row, pixels) in rows.zip(frame.chunks_exact((frame_width * PIXEL_BYTES).max(1))) {
        let room = row.get_mut(left * PIXEL_BYTES..).unwrap_or_default();
        let seen = room.len().min(pixels.len());
        if let (Some(room), Some(pixels)) = (room.get_mut(..seen), pixels.get(..seen)) {
            room.copy_from_slice(pixels);
        }
    }
    screen
}

/// The pixels, and what their decoder keeps, an estimate where it is the codes of a lossless picture: of a lossy picture
/// three planes, and the opacity as it is unpacked; of a lossless one the pixels once more where nothing shines through; of
/// an animation a canvas and a frame.
fn webp_memory_bytes(picture: &[u8]) -> Result<u64, Refusal> {
    let mut decoder = WebPDecoder::new(Cursor::new(picture)).map_err(Refusal::broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width.next_multiple_of(16)) * u64::from(height.next_multiple_of(16));
    let kept = match (decoder.is_animated(), decoder.is_lossy(), decoder.has_alpha()) {
        (true, ..) => 8,
        (false, true, true) => 7,
        (false, false, true) => 1,
        (false, true, false) => 2,
        (false, false, false) => 4,
    };
    let codes = if decoder.is_lossy() { 0 } else { (picture.len() as u64 * 16).min(WEBP_CODES_BYTES) };
    Ok(pixels * (4 + kept) + picture.len() as u64 + codes)
}

fn webp(picture: &[u8]) -> Result<Frame, Refusal> {
    let mut decoder = WebPDecoder::new(Cursor::new(picture)).map_err(Refusal::broken)?;
    let (width, height) = decoder.dimensions();
    let samples = if decoder.has_alpha() { Samples::Rgba } else { Samples::Rgb };
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or(Refusal::Sides)?];
    decoder.read_image(&mut pixels).map_err(Refusal::broken)?;
    let profile = decoder.icc_profile().map_err(Refusal::broken)?;
    let exif = decoder.exif_metadata().map_err(Refusal::broken)?;
    let orientation = exif.as_deref().map(Orientation::of_exif).unwrap_or_default();
    Ok(Frame { width, height, samples, pixels, profile, orientation })
}
