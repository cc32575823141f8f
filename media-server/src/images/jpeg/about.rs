//! What a JPEG says of its colours, and of which way up it is.

use super::frame::Frame;
use super::segments::{APP0, APP1, APP2, APP14, Segment};
use crate::images::orientation::{self, EXIF_PREFIX};

/// What the samples of a pixel stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// Light.
    Gray,
    /// Light, and how far blue and red are from it (T.871).
    YCbCr,
    /// Red, green, blue.
    Rgb,
    /// Inks as Adobe writes them: 255 is none.
    Cmyk,
    /// Y, Cb and Cr for three inks, and black (Adobe Technical Note 5116).
    Ycck,
}

/// What a picture's segments say of it.
#[derive(Default)]
pub(super) struct About {
    is_jfif: bool,
    adobe_transform: Option<u8>,
    /// The parts of the profile, each with its number (ICC.1, B.4).
    profile: Vec<(u8, Vec<u8>)>,
    /// As EXIF tells it; upright otherwise.
    pub(super) orientation: Option<u8>,
}

impl About {
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

    /// As libjpeg decides it, which is what browsers show.
    pub(super) fn colours(&self, frame: &Frame) -> Colours {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), self.adobe_transform) {
            ([_], _) => Colours::Gray,
            ([_, _, _], _) if self.is_jfif => Colours::YCbCr,
            ([_, _, _], Some(0)) | ([b'R', b'G', b'B'], None) => Colours::Rgb,
            ([_, _, _], _) => Colours::YCbCr,
            (_, Some(2)) => Colours::Ycck,
            _ => Colours::Cmyk,
        }
    }

    /// The profile, if there is one.
    pub(super) fn profile(mut self) -> Option<Vec<u8>> {
        self.profile.sort_by_key(|(number, _)| *number);
        let parts: Vec<Vec<u8>> = self.profile.into_iter().map(|(_, part)| part).collect();
        Some(parts.concat()).filter(|profile| !profile.is_empty())
    }
}
