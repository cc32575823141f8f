//! Renditions of generated pictures.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use image_webp::WebPEncoder;
use jpeg_encoder::SamplingFactor;
use shared::random::Random;

use super::raster::Samples;
use super::*;
use crate::decode_pool::DecodePoolConfig;
use crate::formats::{PictureLimits, verify};
use crate::hostile;
use crate::storage::PutOutcome;
use crate::storage::tests::Scratch;

/// A color in each quarter; red is top left.
fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([255, 255, 255]),
    })
}

fn render(picture: &[u8], size: u32) -> Result<EncodedRendition, RenderError> {
    RenderInput::Original(Bytes::copy_from_slice(picture)).render(size, &mut Work::default())
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decoded(bytes: &[u8]) -> RgbaImage {
    image::load_from_memory(bytes).unwrap().to_rgba8()
}

/// Colors at the centers of the four quarters, each channel on or off.
fn corners(rendition: &RgbaImage) -> [[bool; 3]; 4] {
    let (low, high) = (rendition.width() / 4, rendition.width() * 3 / 4);
    [(low, low), (high, low), (low, high), (high, high)].map(|(x, y)| {
        let Rgba([red, green, blue, _]) = *rendition.get_pixel(x, y);
        [red, green, blue].map(|value| value > 127)
    })
}

const RED_GREEN_BLUE_WHITE: [[bool; 3]; 4] =
    [[true, false, false], [false, true, false], [false, false, true], [true; 3]];

/// Exif data with an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// Inserts an APP1 segment after the start of a JPEG.
fn with_jpeg_exif(mut bytes: Vec<u8>, exif: &[u8]) -> Vec<u8> {
    let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
    bytes.splice(2..2, [b"\xff\xe1", length.as_slice(), b"Exif\0\0", exif].concat());
    bytes
}

#[test]
fn every_format_becomes_a_square_that_is_never_enlarged() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let picture = encoded(quarters(150, 100), format);
        for (size, side) in [(512, 100), (100, 100), (64, 64), (1, 1)] {
            let rendition = render(&picture, size).unwrap();
            let pixels = decoded(&rendition.bytes);
            assert_eq!((rendition.kind, pixels.dimensions()), (ImageKind::Jpeg, (side, side)), "{format:?}");
            if side > 1 {
                assert_eq!(corners(&pixels), RED_GREEN_BLUE_WHITE, "{format:?} {size}");
            }
        }
    }
}

#[test]
fn renditions_are_upright() {
    // The tests of `orient` cover all eight orientations.
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
            let rendition = decoded(&render(&picture, 40).unwrap().bytes);
            assert_eq!(corners(&rendition), RED_GREEN_BLUE_WHITE, "{tag}");
        }
    }
}

/// Inserts an eXIf chunk after the header of a PNG.
fn with_png_exif(mut bytes: Vec<u8>, exif: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 8 + 25;
    let chunk = [b"eXIf", exif].concat();
    let length = u32::try_from(exif.len()).unwrap().to_be_bytes();
    let chunk = [length.as_slice(), &chunk, &crc32fast::hash(&chunk).to_be_bytes()].concat();
    bytes.splice(HEADER_END..HEADER_END, chunk);
    bytes
}

#[test]
fn alpha_is_kept_and_opaque_pictures_become_jpeg() {
    let half = RgbaImage::from_fn(80, 80, |x, _| Rgba([10, 20, 200, if x < 40 { 0 } else { 255 }]));
    let opaque = RgbaImage::from_pixel(80, 80, Rgba([10, 20, 200, 255]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let rendition = render(&encoded(half.clone(), format), 40).unwrap();
        assert_eq!(rendition.kind, ImageKind::Png, "{format:?}");
        for bytes in [Some(rendition.bytes), rendition.webp].into_iter().flatten() {
            let pixels = decoded(&bytes);
            let Rgba([.., blue, opaque]) = *pixels.get_pixel(35, 20);
            assert!(pixels.get_pixel(5, 20).0[3] == 0 && blue > 195 && opaque == 255, "{format:?}");
        }
        assert_eq!(render(&encoded(opaque.clone(), format), 40).unwrap().kind, ImageKind::Jpeg, "{format:?}");
    }
}

#[test]
fn webp_is_made_where_it_is_smaller() {
    let drawn = render(&encoded(quarters(300, 300), ImageFormat::Png), 128).unwrap();
    let webp = drawn.webp.unwrap();
    assert!(webp.len() < drawn.bytes.len());
    assert_eq!(corners(&decoded(&webp)), RED_GREEN_BLUE_WHITE);
    let noise = RgbImage::from_fn(300, 300, |x, y| {
        let noise = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761).to_be_bytes();
        Rgb([noise[0], noise[1], noise[2]])
    });
    assert!(render(&encoded(noise, ImageFormat::Png), 128).unwrap().webp.is_none());
}

#[test]
fn an_animation_is_rendered_by_its_first_frame() {
    let mut gif = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
    for color in [[250, 0, 0, 255], [0, 250, 0, 255]] {
        encoder.encode_frame(image::Frame::new(RgbaImage::from_pixel(50, 50, Rgba(color)))).unwrap();
    }
    drop(encoder);
    let Rgba([red, green, ..]) = *decoded(&render(&gif, 50).unwrap().bytes).get_pixel(25, 25);
    assert!(red > 240 && green < 10, "{red} {green}");
}

#[test]
fn a_gif_frame_is_drawn_at_its_offset_on_a_transparent_screen() {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, 40, 40, &[255, 0, 0]).unwrap();
    let frame =
        gif::Frame { left: 20, top: 30, width: 30, height: 30, buffer: vec![0; 900].into(), ..gif::Frame::default() };
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    let rendition = decoded(&render(&bytes, 40).unwrap().bytes);
    assert_eq!(rendition.dimensions(), (40, 40));
    assert_eq!(*rendition.get_pixel(19, 35), Rgba([0; 4]));
    assert_eq!(*rendition.get_pixel(39, 39), Rgba([255, 0, 0, 255]));
    assert_eq!(*rendition.get_pixel(39, 29), Rgba([0; 4]));
}

#[test]
fn sixteen_bit_gray_and_gray_with_alpha_are_decoded() {
    let gray = image::ImageBuffer::from_pixel(30, 30, image::Luma([0x8000_u16]));
    let faint = image::ImageBuffer::from_pixel(30, 30, image::LumaA([0x80_u8, 0x40]));
    for (picture, kind, expected_alpha) in [
        (encoded(DynamicImage::ImageLuma16(gray), ImageFormat::Png), ImageKind::Jpeg, 255),
        (encoded(DynamicImage::ImageLumaA8(faint), ImageFormat::Png), ImageKind::Png, 0x40),
    ] {
        let rendition = render(&picture, 20).unwrap();
        assert_eq!(rendition.kind, kind);
        let Rgba([red, green, blue, alpha]) = *decoded(&rendition.bytes).get_pixel(10, 10);
        assert!(
            [red, green, blue].iter().all(|value| value.abs_diff(0x80) <= 1) && alpha == expected_alpha,
            "{red} {alpha}"
        );
    }
}

/// A JPEG of soft colors, with a scan for each component or one for all.
fn jpeg_of_scans(colors: jpeg_encoder::ColorType, sampling: SamplingFactor, scan_each: bool) -> Vec<u8> {
    let (width, height) = (211_u16, 147_u16);
    let count = if colors == jpeg_encoder::ColorType::Rgb { 3 } else { 4 };
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
    // Makes the encoder write a scan for each component.
    encoder.set_optimized_huffman_tables(scan_each);
    encoder.encode(&samples, width, height, colors).unwrap();
    bytes
}

#[test]
fn jpeg_sampling_and_scans_do_not_change_the_rendition() {
    use jpeg_encoder::ColorType::{Cmyk, CmykAsYcck, Rgb};
    let rendition = |colors, sampling, scan_each| {
        let picture = jpeg_of_scans(colors, sampling, scan_each).into();
        let verified = verify(&picture, PictureLimits { pixels_max: 1_000_000 }).unwrap();
        decoded(&render(&verified.bytes, 100).unwrap().bytes)
    };
    for colors in [Rgb, Cmyk, CmykAsYcck] {
        // Soft colors are the same at any sampling.
        let expected = rendition(colors, SamplingFactor::F_1_1, false);
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_1_2, SamplingFactor::F_2_2] {
            for scan_each in [true, false] {
                let rendition = rendition(colors, sampling, scan_each);
                let furthest = furthest(&rendition, &expected);
                assert!(furthest <= 8, "{colors:?} {sampling:?} {scan_each}: {furthest}");
            }
        }
    }
}

fn furthest(found: &[u8], expected: &[u8]) -> u8 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected)).max().unwrap()
}

/// JPEGs by libjpeg-turbo with various samplings and scans.
fn jpegs(directory: &str) -> Vec<(String, Vec<u8>)> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let paths = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

/// The scaled center crop for a square of `size` pixels, in RGB.
fn scaled_crop(picture: &[u8], size: u32) -> RgbImage {
    let raster = decode::first_frame(picture, size, &mut Work::default()).unwrap();
    let pixels = match raster.samples {
        Samples::Gray => raster.pixels.iter().flat_map(|luma| [*luma; 3]).collect(),
        _ => raster.pixels,
    };
    RgbImage::from_raw(raster.width, raster.height, pixels).unwrap()
}

/// The center crop of another decoder's picture, box-filtered to `eighths` / 8.
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
fn a_scaled_crop_matches_another_decoder_at_any_scale() {
    let mut read = jpegs("fuzz/seeds/jpeg");
    // That decoder reads CMYK as RGB and rejects scans of some components.
    read.retain(|(name, _)| !name.contains("cmyk") && !name.contains("scans"));
    assert!(read.len() >= 8);
    for (name, picture) in read {
        let whole = image::load_from_memory(&picture).unwrap().to_rgb8();
        // It repeats chroma samples, which ours interpolates.
        let is_smoothed = name.contains("411");
        for (size, eighths, most) in
            [(2048, 8, if is_smoothed { 3.0 } else { 0.5 }), (12, 4, 5.0), (6, 2, 5.0), (3, 1, 5.0)]
        {
            let difference = mean_difference(&scaled_crop(&picture, size), &averaged(&whole, eighths));
            assert!(difference < most, "{name} {eighths}: {difference}");
        }
    }
}

#[test]
fn jpeg_sampling_ratios_do_not_change_the_crop() {
    // The same picture in samplings that no other decoder in Rust reads.
    let mut same = jpegs("src/renditions/tests");
    same.extend(jpegs("fuzz/seeds/jpeg").into_iter().filter(|(name, _)| name.contains("411")));
    let [(_, first), others @ ..] = same.as_slice() else { panic!("no pictures") };
    assert_eq!(others.len(), 3);
    for (name, other) in others {
        let difference = mean_difference(&scaled_crop(other, 6), &scaled_crop(first, 6));
        assert!(difference < 5.0, "{name}: {difference}");
    }
}

fn decode_pool(deadline: Duration) -> (DecodePool, WorkersConfig) {
    let workers = WorkersConfig { threads: 1, queue_max: 8, queue_timeout: Duration::from_mins(1) };
    let config = DecodePoolConfig { workers: workers.clone(), deadline, memory_bytes: 1 << 28 };
    (DecodePool::start(&config).unwrap(), workers)
}

#[tokio::test]
async fn past_its_deadline_a_rendition_is_busy_and_not_refused() {
    let render = async |deadline| {
        let input = RenderInput::Original(hostile::ALL[0]().ordinary().into());
        render_on(&decode_pool(deadline).0, input, 512).await
    };
    let late = render(Duration::ZERO).await;
    assert!(matches!(late, Err(Error::Busy(Overload::TookTooLong))), "{late:?}");
    assert!(render(Duration::from_mins(1)).await.is_ok());
}

#[tokio::test]
async fn the_first_use_of_a_size_takes_four_storage_operations() {
    let (scratch, (pool, workers)) = (Scratch::new(), decode_pool(Duration::from_mins(1)));
    let storage = scratch.open().await;
    for (format, kind) in [(ImageFormat::Jpeg, ImageKind::Jpeg), (ImageFormat::Png, ImageKind::Png)] {
        let id = ImageId::new(&Random::system());
        let picture: Bytes = encoded(quarters(900, 700), format).into();
        assert_eq!(storage.put(id, picture.clone()).await.unwrap(), PutOutcome::Created);
        let renditions = Renditions::new(storage.clone(), pool.clone(), 512, &workers);
        renditions.render(id, 512, RenderInput::Original(picture)).await.unwrap();
        // Without its cache.
        let storage = scratch.open().await;
        let renditions = Renditions::new(storage.clone(), pool.clone(), 512, &workers);
        let before = storage.operations_count();
        assert!(storage.get(id).await.unwrap().is_some());
        let made = renditions.get(id, kind, 64, true).await.unwrap();
        assert_eq!(storage.operations_count() - before, 4, "{format:?}");
        let storage = scratch.open().await;
        let stored = Renditions::new(storage, pool.clone(), 512, &workers).get(id, kind, 64, true).await.unwrap();
        assert_eq!((made.kind, made.object.prefix), (stored.kind, stored.object.prefix), "{format:?}");
    }
}
