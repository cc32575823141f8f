//! Pictures drawn here, from their bytes to a rendition's.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use image_webp::WebPEncoder;
use jpeg_encoder::SamplingFactor;

use super::frame::Samples;
use super::*;
use crate::images::{PictureLimits, accept};

/// Four colours, one in each quarter; red is top left.
fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([255, 255, 255]),
    })
}

fn of_picture(picture: &[u8], size: u32) -> Result<Encoded, RenderError> {
    Source::Picture(Bytes::copy_from_slice(picture)).rendition(size, &mut Work::default())
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decoded(bytes: &[u8]) -> RgbaImage {
    image::load_from_memory(bytes).unwrap().to_rgba8()
}

/// The colours of the middles of the four quarters, each channel all or nothing.
fn corners(rendition: &RgbaImage) -> [[bool; 3]; 4] {
    let (low, high) = (rendition.width() / 4, rendition.width() * 3 / 4);
    [(low, low), (high, low), (low, high), (high, high)].map(|(x, y)| {
        let Rgba([red, green, blue, _]) = *rendition.get_pixel(x, y);
        [red, green, blue].map(|value| value > 127)
    })
}

const RED_GREEN_BLUE_WHITE: [[bool; 3]; 4] =
    [[true, false, false], [false, true, false], [false, false, true], [true; 3]];

/// Exif data that holds an orientation alone.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// `bytes` with a JPEG segment APP1 after their start.
fn with_jpeg_exif(mut bytes: Vec<u8>, exif: &[u8]) -> Vec<u8> {
    let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
    bytes.splice(2..2, [b"\xff\xe1", length.as_slice(), b"Exif\0\0", exif].concat());
    bytes
}

#[test]
fn every_kind_becomes_a_square_that_is_never_larger() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let picture = encoded(quarters(150, 100), format);
        for (size, side) in [(512, 100), (100, 100), (64, 64), (1, 1)] {
            let rendition = of_picture(&picture, size).unwrap();
            let pixels = decoded(&rendition.bytes);
            assert_eq!((rendition.kind, pixels.dimensions()), (ImageKind::Jpeg, (side, side)), "{format:?}");
            if side > 1 {
                assert_eq!(corners(&pixels), RED_GREEN_BLUE_WHITE, "{format:?} {size}");
            }
        }
    }
}

#[test]
fn a_picture_that_lies_on_its_side_comes_out_upright() {
    // Stored so that it is upright when it is turned as the tag says: the tests of `orientation` have all eight.
    let upright: DynamicImage = quarters(120, 80).into();
    for (tag, stored) in
        [(3, upright.rotate180()), (6, upright.rotate270()), (8, upright.rotate90()), (2, upright.fliph())]
    {
        let jpeg = with_jpeg_exif(encoded(stored.clone(), ImageFormat::Jpeg), &exif(tag));
        let mut webp = Vec::new();
        let mut encoder = WebPEncoder::new(&mut webp);
        encoder.set_exif_metadata(exif(tag));
        let (width, height) = (stored.width(), stored.height());
        encoder.encode(&stored.to_rgb8(), width, height, image_webp::ColorType::Rgb8).unwrap();
        let png = with_png_exif(encoded(stored, ImageFormat::Png), &exif(tag));
        for picture in [jpeg, webp, png] {
            let rendition = decoded(&of_picture(&picture, 40).unwrap().bytes);
            assert_eq!(corners(&rendition), RED_GREEN_BLUE_WHITE, "{tag}");
        }
    }
}

/// `bytes` with a PNG chunk eXIf after their header.
fn with_png_exif(mut bytes: Vec<u8>, exif: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 8 + 25;
    let chunk = [b"eXIf", exif].concat();
    let length = u32::try_from(exif.len()).unwrap().to_be_bytes();
    let chunk = [length.as_slice(), &chunk, &crc32fast::hash(&chunk).to_be_bytes()].concat();
    bytes.splice(HEADER_END..HEADER_END, chunk);
    bytes
}

#[test]
fn what_is_transparent_stays_so_and_what_is_not_is_a_jpeg() {
    let half = RgbaImage::from_fn(80, 80, |x, _| Rgba([10, 20, 200, if x < 40 { 0 } else { 255 }]));
    let opaque = RgbaImage::from_pixel(80, 80, Rgba([10, 20, 200, 255]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let rendition = of_picture(&encoded(half.clone(), format), 40).unwrap();
        assert_eq!(rendition.kind, ImageKind::Png, "{format:?}");
        for bytes in [Some(rendition.bytes), rendition.webp].into_iter().flatten() {
            let pixels = decoded(&bytes);
            let Rgba([.., blue, opaque]) = *pixels.get_pixel(35, 20);
            assert!(pixels.get_pixel(5, 20).0[3] == 0 && blue > 195 && opaque == 255, "{format:?}");
        }
        assert_eq!(of_picture(&encoded(opaque.clone(), format), 40).unwrap().kind, ImageKind::Jpeg, "{format:?}");
    }
}

#[test]
fn webp_is_there_where_it_is_smaller_and_shows_the_same() {
    let drawn = of_picture(&encoded(quarters(300, 300), ImageFormat::Png), 128).unwrap();
    let webp = drawn.webp.unwrap();
    assert!(webp.len() < drawn.bytes.len());
    assert_eq!(corners(&decoded(&webp)), RED_GREEN_BLUE_WHITE);
    let noise = RgbImage::from_fn(300, 300, |x, y| {
        let noise = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761).to_be_bytes();
        Rgb([noise[0], noise[1], noise[2]])
    });
    assert!(of_picture(&encoded(noise, ImageFormat::Png), 128).unwrap().webp.is_none());
}

#[test]
fn the_first_frame_of_an_animation_is_what_counts() {
    let mut gif = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
    for colour in [[250, 0, 0, 255], [0, 250, 0, 255]] {
        encoder.encode_frame(image::Frame::new(RgbaImage::from_pixel(50, 50, Rgba(colour)))).unwrap();
    }
    drop(encoder);
    let Rgba([red, green, ..]) = *decoded(&of_picture(&gif, 50).unwrap().bytes).get_pixel(25, 25);
    assert!(red > 240 && green < 10, "{red} {green}");
}

#[test]
fn a_gif_frame_lies_where_it_says_on_a_transparent_screen() {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, 40, 40, &[255, 0, 0]).unwrap();
    let frame =
        gif::Frame { left: 20, top: 30, width: 30, height: 30, buffer: vec![0; 900].into(), ..gif::Frame::default() };
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    let rendition = decoded(&of_picture(&bytes, 40).unwrap().bytes);
    assert_eq!(rendition.dimensions(), (40, 40));
    assert_eq!(*rendition.get_pixel(19, 35), Rgba([0; 4]));
    assert_eq!(*rendition.get_pixel(39, 39), Rgba([255, 0, 0, 255]));
    assert_eq!(*rendition.get_pixel(39, 29), Rgba([0; 4]));
}

#[test]
fn sixteen_bits_gray_and_gray_with_opacity_are_read() {
    let gray = image::ImageBuffer::from_pixel(30, 30, image::Luma([0x8000_u16]));
    let faint = image::ImageBuffer::from_pixel(30, 30, image::LumaA([0x80_u8, 0x40]));
    for (picture, kind, opacity) in [
        (encoded(DynamicImage::ImageLuma16(gray), ImageFormat::Png), ImageKind::Jpeg, 255),
        (encoded(DynamicImage::ImageLumaA8(faint), ImageFormat::Png), ImageKind::Png, 0x40),
    ] {
        let rendition = of_picture(&picture, 20).unwrap();
        assert_eq!(rendition.kind, kind);
        let Rgba([red, green, blue, alpha]) = *decoded(&rendition.bytes).get_pixel(10, 10);
        assert!([red, green, blue].iter().all(|value| value.abs_diff(0x80) <= 1) && alpha == opacity, "{red} {alpha}");
    }
}

/// A picture of soft colours as a JPEG, with a scan for each component or one for all.
fn jpeg_of_scans(colours: jpeg_encoder::ColorType, sampling: SamplingFactor, scan_each: bool) -> Vec<u8> {
    let (width, height) = (211_u16, 147_u16);
    let count = if colours == jpeg_encoder::ColorType::Rgb { 3 } else { 4 };
    let mut samples = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let shades = [x, y * 255 / height, 255 - x, (x + y) / 4].map(|shade| u8::try_from(shade).unwrap());
            samples.extend_from_slice(&shades[..count]);
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(sampling);
    // Its way to scans of components.
    encoder.set_optimized_huffman_tables(scan_each);
    encoder.encode(&samples, width, height, colours).unwrap();
    bytes
}

#[test]
fn a_jpeg_shows_the_same_whatever_its_sampling_and_its_scans() {
    use jpeg_encoder::ColorType::{Cmyk, CmykAsYcck, Rgb};
    let rendition = |colours, sampling, scan_each| {
        let picture = jpeg_of_scans(colours, sampling, scan_each).into();
        let accepted = accept(&picture, PictureLimits { pixels_max: 1_000_000 }).unwrap();
        decoded(&of_picture(&accepted.bytes, 100).unwrap().bytes)
    };
    for colours in [Rgb, Cmyk, CmykAsYcck] {
        // Colours so soft look the same at any sampling.
        let expected = rendition(colours, SamplingFactor::F_1_1, false);
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_1_2, SamplingFactor::F_2_2] {
            for scan_each in [true, false] {
                let rendition = rendition(colours, sampling, scan_each);
                let furthest = furthest(&rendition, &expected);
                assert!(furthest <= 8, "{colours:?} {sampling:?} {scan_each}: {furthest}");
            }
        }
    }
}

fn furthest(found: &[u8], expected: &[u8]) -> u8 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected)).max().unwrap()
}

/// The JPEGs of a directory: by libjpeg-turbo, each of another sampling, with other scans.
fn jpegs(directory: &str) -> Vec<(String, Vec<u8>)> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let paths = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

/// Its middle as a square of `size` pixels needs it: red, green and blue.
fn middle(picture: &[u8], size: u32) -> RgbImage {
    let frame = decode::first_frame(picture, size, &mut Work::default()).unwrap();
    let pixels = match frame.samples {
        Samples::Gray => frame.pixels.iter().flat_map(|light| [*light; 3]).collect(),
        _ => frame.pixels,
    };
    RgbImage::from_raw(frame.width, frame.height, pixels).unwrap()
}

/// The middle of a picture of another decoder, `eighths` of eight pixels wide for eight, and as high.
fn averaged(whole: &RgbImage, eighths: u32) -> RgbImage {
    let [width, height] = [whole.width(), whole.height()].map(|side| side * eighths / 8);
    let (side, area) = (width.min(height), 8 / eighths);
    let (left, top) = ((width - side) / 2 * area, (height - side) / 2 * area);
    RgbImage::from_fn(side, side, |x, y| {
        let pixels =
            (0..area * area).map(|at| whole.get_pixel(left + x * area + at % area, top + y * area + at / area));
        let mut sums = [0; 3];
        for pixel in pixels {
            sums.iter_mut().zip(pixel.0).for_each(|(sum, sample)| *sum += u32::from(sample));
        }
        Rgb(sums.map(|sum| u8::try_from(sum / (area * area)).unwrap()))
    })
}

fn mean_difference(found: &RgbImage, expected: &RgbImage) -> f64 {
    assert_eq!(found.dimensions(), expected.dimensions());
    let sum: u32 =
        found.iter().zip(expected.iter()).map(|(found, expected)| u32::from(found.abs_diff(*expected))).sum();
    f64::from(sum) / f64::from(found.width() * found.height() * 3)
}

#[test]
fn a_jpegs_pixels_are_those_of_another_decoder_at_any_scale() {
    let mut read = jpegs("fuzz/seeds/jpeg");
    // That decoder takes inks for light, and scans of some components for broken.
    read.retain(|(name, _)| !name.contains("cmyk") && !name.contains("scans"));
    assert!(read.len() >= 8);
    for (name, picture) in read {
        let whole = image::load_from_memory(&picture).unwrap().to_rgb8();
        // It repeats the colours of a fourth of the pixels, which ours smooths.
        let is_smoothed = name.contains("411");
        for (size, eighths, most) in
            [(2048, 8, if is_smoothed { 3.0 } else { 0.5 }), (12, 4, 5.0), (6, 2, 5.0), (3, 1, 5.0)]
        {
            let difference = mean_difference(&middle(&picture, size), &averaged(&whole, eighths));
            assert!(difference < most, "{name} {eighths}: {difference}");
        }
    }
}

#[test]
fn a_jpeg_shows_the_same_at_any_ratio_of_its_components() {
    // One picture, all of them, which no decoder in Rust reads.
    let mut same = jpegs("src/renditions/tests");
    same.extend(jpegs("fuzz/seeds/jpeg").into_iter().filter(|(name, _)| name.contains("411")));
    let [(_, first), others @ ..] = same.as_slice() else { panic!("there is none") };
    assert_eq!(others.len(), 3);
    for (name, other) in others {
        let difference = mean_difference(&middle(other, 6), &middle(first, 6));
        assert!(difference < 5.0, "{name}: {difference}");
    }
}
