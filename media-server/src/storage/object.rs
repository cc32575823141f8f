//! Keys of stored objects.
//!
//! An object's path is a directory, the first [`NAME_CHARS`] digits of the picture's id, and `<id>` for the original or
//! `<id>.<size>.<extension>` for a rendition. So listings are ordered by id, with a picture before its renditions.

use object_store::path::Path;
use shared::media_api::{ImageId, ImageKind};

/// Hexadecimal digits of a directory's name.
pub(super) const NAME_CHARS: usize = 3;

/// Hexadecimal digits of an id.
pub(super) const ID_CHARS: usize = 32;

/// Key of a rendition within its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenditionKey {
    /// Width and height, in pixels.
    pub size: u32,
    pub kind: ImageKind,
}

/// Key of a picture or of a rendition. Its `Debug` must not get into a log: it holds the picture's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectKey {
    pub(super) id: ImageId,
    pub(super) rendition: Option<RenditionKey>,
}

impl ObjectKey {
    pub(super) fn original(id: ImageId) -> Self {
        Self { id, rendition: None }
    }

    pub(super) fn rendition(id: ImageId, key: RenditionKey) -> Self {
        Self { id, rendition: Some(key) }
    }

    pub(super) fn path(self) -> Path {
        let hex = self.id.hex();
        let name = match self.rendition {
            None => hex,
            Some(RenditionKey { size, kind }) => format!("{hex}.{size}.{}", kind.extension()),
        };
        Path::from_iter([directory(self.id), name])
    }

    /// Parses the last segment of a path; `None` for other files.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (hex, rest) = name.split_at_checked(ID_CHARS)?;
        let id = ImageId::parse(hex).ok()?;
        let rendition = if rest.is_empty() { None } else { Some(parse_rendition(rest)?) };
        Some(Self { id, rendition })
    }
}

/// Parses `.<size>.<extension>`.
fn parse_rendition(text: &str) -> Option<RenditionKey> {
    let (size, extension) = text.strip_prefix('.')?.split_once('.')?;
    let kind = ImageKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
    Some(RenditionKey { size: size.parse().ok()?, kind })
}

/// Returns the directory of a picture and its renditions.
pub(super) fn directory(id: ImageId) -> String {
    id.hex().chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_path_is_parsed_back_to_its_key() {
        let id = ImageId::parse(ID).unwrap();
        let webp = Some(RenditionKey { size: 64, kind: ImageKind::Webp });
        for (rendition, path) in [(None, format!("012/{ID}")), (webp, format!("012/{ID}.64.webp"))] {
            let object = ObjectKey { id, rendition };
            assert_eq!(object.path().as_ref(), path);
            assert_eq!(ObjectKey::parse(object.path().filename().unwrap()), Some(object));
        }
    }

    #[test]
    fn other_names_are_no_keys() {
        for other in [
            "",
            "probe",
            &ID[1..],
            &format!("{ID}#1"),
            &format!("{ID}.64.jpg#1"),
            &format!("{ID}.jpg"),
            &format!("{ID}.x.jpg"),
        ] {
            assert_eq!(ObjectKey::parse(other), None, "{other}");
        }
    }
}
