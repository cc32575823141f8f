//! Metadata of a JPEG: color space, ICC profile, orientation.

use super::frame::JpegFrame;
use super::segments::{APP0, APP1, APP2, APP14, Segment};
use crate::formats::orientation::{self, EXIF_PREFIX};

/// The color space of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColorSpace {
    Gray,
    /// T.871.
    YCbCr,
    Rgb,
    /// Inverted, as Adobe writes it: 255 is no ink.
    Cmyk,
    /// YCbCr of CMY, and K (Adobe Technical Note 5116).
    Ycck,
}

/// What the application segments say.
#[derive(Default)]
pub(super) struct JpegMetadata {
    is_jfif: bool,
    adobe_transform: Option<u8>,
    /// The chunks of the ICC profile with their numbers (ICC.1, B.4).
    profile: Vec<(u8, Vec<u8>)>,
    pub(super) orientation: Option<u8>,
}

impl JpegMetadata {
    pub(super) fn read(&mut self, segment: &Segment<'_>) {
        match (segment.marker, segment.data) {
            (APP0, data) if data.starts_with(b"JFIF\0") => self.is_jfif = true,
            (APP1, data) if data.starts_with(EXIF_PREFIX) && self.orientation.is_none() => {
                self.orientation = orientation::read(data);
            }
            (APP2, data) => {
                if let Some([number, _, part @ ..]) = data.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.push((*number, part.to_vec()));
                }
            }
            (APP14, [b'A', b'd', b'o', b'b', b'e', rest @ ..]) => self.adobe_transform = rest.get(6).copied(),
            _ => {}
        }
    }

    /// Returns the color space, decided as libjpeg and so browsers do.
    pub(super) fn color_space(&self, frame: &JpegFrame) -> ColorSpace {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), self.adobe_transform) {
            ([_], _) => ColorSpace::Gray,
            ([_, _, _], _) if self.is_jfif => ColorSpace::YCbCr,
            ([_, _, _], Some(0)) | ([b'R', b'G', b'B'], None) => ColorSpace::Rgb,
            ([_, _, _], _) => ColorSpace::YCbCr,
            (_, Some(2)) => ColorSpace::Ycck,
            _ => ColorSpace::Cmyk,
        }
    }

    /// Returns the ICC profile, its chunks joined.
    pub(super) fn profile(mut self) -> Option<Vec<u8>> {
        self.profile.sort_by_key(|(number, _)| *number);
        let parts: Vec<Vec<u8>> = self.profile.into_iter().map(|(_, part)| part).collect();
        Some(parts.concat()).filter(|profile| !profile.is_empty())
    }
}
