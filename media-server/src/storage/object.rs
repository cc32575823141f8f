//! The names under which pictures are stored.
//!
//! An object's path is a directory, the first [`NAME_CHARS`] digits of the picture's id, and `<id>` for the picture as it
//! was uploaded or `<id>.<size>.<extension>` for a rendition of it. So all that belongs to a picture stands together, the
//! picture before its renditions, and pictures stand in the order of their ids.

use object_store::path::Path;
use shared::media_api::{ImageId, ImageKind};

/// A directory's name is this many hexadecimal digits, the first ones of a picture's id.
pub(super) const NAME_CHARS: usize = 3;

/// How many digits an id has.
pub(super) const ID_CHARS: usize = 32;

/// Which rendition of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenditionKey {
    /// Width and height, in pixels.
    pub size: u32,
    /// What it is encoded as.
    pub kind: ImageKind,
}

/// A picture or a rendition of it.
///
/// Its `Debug` must not get into a log: it holds the picture's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) id: ImageId,
    pub(super) rendition: Option<RenditionKey>,
}

impl Object {
    pub(super) fn original(id: ImageId) -> Self {
        Self { id, rendition: None }
    }

    pub(super) fn path(self) -> Path {
        let hex = self.id.hex();
        let name = match self.rendition {
            None => hex,
            Some(RenditionKey { size, kind }) => format!("{hex}.{size}.{}", kind.extension()),
        };
        Path::from_iter([directory(self.id), name])
    }

    /// Reads the last part of a path; other names are none of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (hex, rest) = name.split_at_checked(ID_CHARS)?;
        let id = ImageId::parse(hex).ok()?;
        let rendition = if rest.is_empty() { None } else { Some(rendition(rest)?) };
        Some(Self { id, rendition })
    }
}

/// `.<size>.<extension>`
fn rendition(text: &str) -> Option<RenditionKey> {
    let (size, extension) = text.strip_prefix('.')?.split_once('.')?;
    let kind = ImageKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
    Some(RenditionKey { size: size.parse().ok()?, kind })
}

/// The directory of all that belongs to a picture.
pub(super) fn directory(id: ImageId) -> String {
    id.hex().chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_name_is_read_as_it_is_made() {
        let id = ImageId::parse(ID).unwrap();
        let webp = Some(RenditionKey { size: 64, kind: ImageKind::Webp });
        for (rendition, path) in [(None, format!("012/{ID}")), (webp, format!("012/{ID}.64.webp"))] {
            let object = Object { id, rendition };
            assert_eq!(object.path().as_ref(), path);
            assert_eq!(Object::parse(object.path().filename().unwrap()), Some(object));
        }
    }

    #[test]
    fn what_is_none_of_ours_is_no_name() {
        for other in [
            "",
            "probe",
            &ID[1..],
            &format!("{ID}#1"),
            &format!("{ID}.64.jpg#1"),
            &format!("{ID}.jpg"),
            &format!("{ID}.x.jpg"),
        ] {
            assert_eq!(Object::parse(other), None, "{other}");
        }
    }
}
