//! Color conversion to sRGB (IEC 61966-2-1) by the picture's ICC profile.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::raster::{Samples, SquareImage};
use crate::formats::{PROFILE_BYTES_MAX, icc};

/// Converts to sRGB: [`Samples::Rgb`], or [`Samples::Rgba`] where there is alpha. A profile that is broken or of another
/// color space is ignored, as browsers do.
pub(super) fn to_srgb(square: SquareImage, profile: Option<&[u8]>) -> SquareImage {
    // Reduced again: pictures that earlier releases stored are not, and a profile may repeat a large tag.
    let profile = profile
        .filter(|bytes| bytes.len() <= PROFILE_BYTES_MAX)
        .and_then(|bytes| icc::reduced(bytes, square.samples.pixel_space()))
        .and_then(|bytes| ColorProfile::new_from_slice(&bytes).ok());
    let Some(profile) = profile else { return assume_srgb(square) };
    let square = match (square.samples, profile.color_space) {
        (Samples::Gray | Samples::GrayAlpha, DataColorSpace::Rgb) => assume_srgb(square),
        _ => square,
    };
    converted(&square, &profile).unwrap_or_else(|| assume_srgb(square))
}

fn converted(square: &SquareImage, profile: &ColorProfile) -> Option<SquareImage> {
    let (from, space) = match square.samples {
        Samples::Gray => (Layout::Gray, DataColorSpace::Gray),
        Samples::GrayAlpha => (Layout::GrayAlpha, DataColorSpace::Gray),
        Samples::Rgb => (Layout::Rgb, DataColorSpace::Rgb),
        Samples::Rgba => (Layout::Rgba, DataColorSpace::Rgb),
        Samples::Cmyk => (Layout::Rgba, DataColorSpace::Cmyk),
    };
    if profile.color_space != space {
        return None;
    }
    let (samples, to) =
        if square.samples.has_alpha() { (Samples::Rgba, Layout::Rgba) } else { (Samples::Rgb, Layout::Rgb) };
    let options = TransformOptions { rendering_intent: profile.rendering_intent, ..TransformOptions::default() };
    let transform = profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options).ok()?;
    let mut pixels = vec![0; square.pixels.len() / square.samples.count() * samples.count()];
    if square.samples == Samples::Cmyk {
        let ink: Vec<u8> = square.pixels.iter().map(|inverted| u8::MAX - inverted).collect();
        transform.transform(&ink, &mut pixels).ok()?;
    } else {
        transform.transform(&square.pixels, &mut pixels).ok()?;
    }
    Some(SquareImage { side: square.side, samples, pixels })
}

fn assume_srgb(square: SquareImage) -> SquareImage {
    let each = |samples, of_pixel: fn(&[u8]) -> Vec<u8>| {
        let pixels = square.pixels.chunks_exact(square.samples.count()).flat_map(of_pixel).collect();
        SquareImage { side: square.side, samples, pixels }
    };
    match square.samples {
        Samples::Rgb | Samples::Rgba => square,
        Samples::Gray => each(Samples::Rgb, |pixel| pixel.repeat(3)),
        Samples::GrayAlpha => each(Samples::Rgba, |pixel| match pixel {
            [gray, alpha] => vec![*gray, *gray, *gray, *alpha],
            _ => Vec::new(),
        }),
        Samples::Cmyk => each(Samples::Rgb, |pixel| match pixel {
            [inks @ .., black] => inks.iter().map(|ink| product(*ink, *black)).collect(),
            [] => Vec::new(),
        }),
    }
}

/// Multiplies two fractions of 255.
fn product(a: u8, b: u8) -> u8 {
    u8::try_from((u16::from(a) * u16::from(b) + 127) / 255).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(samples: Samples, pixel: &[u8]) -> SquareImage {
        SquareImage { side: 1, samples, pixels: pixel.to_vec() }
    }

    fn converted_by(profile: &ColorProfile, samples: Samples, pixel: &[u8]) -> Vec<u8> {
        to_srgb(square(samples, pixel), Some(&profile.encode().unwrap())).pixels
    }

    fn are_close(a: &[u8], b: &[u8]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 2)
    }

    #[test]
    fn adobe_rgb_becomes_srgb() {
        let adobe = ColorProfile::new_adobe_rgb();
        // By the two matrices and curves of Adobe RGB (1998) and IEC 61966-2-1.
        for (from, to) in
            [([0, 0, 0], [0, 0, 0]), ([255; 3], [255; 3]), ([128; 3], [128; 3]), ([100, 150, 50], [66, 151, 34])]
        {
            let converted = converted_by(&adobe, Samples::Rgb, &from);
            assert!(are_close(&converted, &to), "{from:?}: {converted:?}");
        }
    }

    #[test]
    fn srgb_and_alpha_are_unchanged() {
        let converted = converted_by(&ColorProfile::new_srgb(), Samples::Rgba, &[200, 100, 50, 77]);
        assert!(are_close(&converted, &[200, 100, 50, 77]), "{converted:?}");
        let p3 = converted_by(&ColorProfile::new_display_p3(), Samples::Rgba, &[200, 100, 50, 77]);
        assert!(p3[0] > 205 && p3[3] == 77, "{p3:?}");
    }

    #[test]
    fn gray_is_converted_by_gray_and_rgb_profiles() {
        let linear = ColorProfile::new_gray_with_gamma(1.0);
        assert!(are_close(&converted_by(&linear, Samples::Gray, &[55]), &[128; 3]));
        assert!(are_close(&converted_by(&linear, Samples::GrayAlpha, &[55, 9]), &[128, 128, 128, 9]));
        assert!(are_close(&converted_by(&ColorProfile::new_srgb(), Samples::Gray, &[55]), &[55; 3]));
    }

    #[test]
    fn without_a_usable_profile_colors_are_srgb() {
        let gray = ColorProfile::new_gray_with_gamma(1.0);
        assert_eq!(converted_by(&gray, Samples::Rgb, &[1, 2, 3]), [1, 2, 3]);
        let too_large = [ColorProfile::new_adobe_rgb().encode().unwrap(), vec![0; PROFILE_BYTES_MAX]].concat();
        for profile in [None, Some(b"no profile".as_slice()), Some(&too_large)] {
            let of = |samples, pixel: &[u8]| to_srgb(square(samples, pixel), profile).pixels;
            assert_eq!(of(Samples::Rgb, &[1, 2, 3]), [1, 2, 3]);
            assert_eq!(of(Samples::GrayAlpha, &[1, 2]), [1, 1, 1, 2]);
            assert_eq!(of(Samples::Cmyk, &[255, 128, 0, 128]), [128, 64, 0]);
        }
    }
}
