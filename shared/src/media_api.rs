//! Internal API between auth-api and media-server.
//!
//! media-server serves it on an address that nginx does not reach, to requests with the secret that the two services share
//! ([`authorization`]).
//!
//! | request | response |
//! | --- | --- |
//! | `PUT /images/<id>`, the picture as body | 201 or 200 [`Stored`]; 422 [`Refused`]; 409 if another picture is stored under `id` |
//! | `POST /images/check`, the picture as body | 204; 422 [`Refused`]; stores nothing |
//! | `DELETE /images/<id>` | 204, also if it was not stored; deletes its renditions, too |
//! | `GET /images?after=<id>&limit=N` | 200 [`StoredPage`]: pictures in the order of ids, after `after` or from the first; `limit` is 1 to [`LIST_LIMIT_MAX`], the default |
//!
//! `PUT` and `DELETE` are idempotent and may be retried. 503 has a `Retry-After`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::secret::Secret;
use crate::settings::{SettingError, Settings};

/// Path prefix of pictures for clients: a picture's URL is the public origin, this prefix and its name.
pub const PUBLIC_PREFIX: &str = "/api/user/media/";

/// Path that verifies a picture without storing it.
pub const CHECK_PATH: &str = "/images/check";

/// Path that lists stored pictures.
pub const LIST_PATH: &str = "/images";

/// Most pictures on a page of a listing, and the default.
pub const LIST_LIMIT_MAX: usize = 1000;

/// Reads `MEDIA_SECRET_FILE`, the file with the secret that authorizes requests.
pub fn secret_file(settings: &mut Settings) -> PathBuf {
    settings.path(
        "MEDIA_SECRET_FILE",
        "/run/secrets/media",
        "file with the shared secret of auth-api and media-server, 16 bytes or more",
    )
}

/// Reads `PICTURE_BYTES_MAX`, the limit of an uploaded picture, which both services check.
pub fn picture_bytes_max(settings: &mut Settings) -> Result<usize, SettingError> {
    settings.number(
        "PICTURE_BYTES_MAX",
        10 * 1024 * 1024,
        1..=1024 * 1024 * 1024,
        "bytes",
        "limit of a picture; that of the other service and nginx's client_max_body_size must match",
    )
}

/// Id of a picture: 128 random bits, chosen by auth-api before the upload and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId([u8; 16]);

/// Supported image formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageKind {
    /// ISO/IEC 10918.
    Jpeg,
    /// W3C PNG and APNG.
    Png,
    /// GIF 87a and 89a.
    Gif,
    /// RFC 9649.
    Webp,
}

/// Name of a stored picture: its id in hexadecimal and its extension, as in `0123456789abcdef0123456789abcdef.jpg`.
///
/// It has no `Display`, because it must not get into a log: knowing the name is being allowed to see the picture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// Response to a successful `PUT`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    pub name: ImageName,
}

/// A page of a listing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredPage {
    pub images: Vec<StoredImage>,
    /// `after` of the next page, which need not be the id of a picture. `None` on the last page. A page may be empty and not the
    /// last.
    pub next: Option<ImageId>,
}

/// A stored picture, or leftover renditions of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    pub id: ImageId,
    /// In Unix seconds by the storage's clock; of one of the renditions where only those are left.
    pub stored_at: u64,
    /// Whether the picture itself is stored. If not, its renditions can't be requested; `DELETE` deletes them.
    pub has_original: bool,
}

/// Response to an invalid image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// For logs; clients get "Upload a valid image. …".
    pub reason: String,
}

/// Not an [`ImageName`] or [`ImageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a picture")]
pub struct NotAName;

impl ImageId {
    /// Makes a random id.
    pub fn new(random: &Random) -> Self {
        Self(random.bytes())
    }

    /// Parses 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotAName);
        }
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| NotAName)?;
        Ok(Self(id))
    }

    /// Returns the path of `PUT` and `DELETE`.
    pub fn path(self) -> String {
        format!("/images/{}", hex::encode(self.0))
    }

    /// Returns the id in hexadecimal.
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }
}

impl ImageKind {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp];

    /// Returns the file extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }
}

impl ImageName {
    /// Makes the name of a picture.
    pub fn new(id: ImageId, kind: ImageKind) -> Self {
        Self(format!("{}.{}", id.hex(), kind.extension()))
    }

    /// Parses an [`ImageId`], a dot, and one of the extensions.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let (id, extension) = text.split_once('.').ok_or(NotAName)?;
        ImageId::parse(id)?;
        if !ImageKind::ALL.iter().any(|kind| kind.extension() == extension) {
            return Err(NotAName);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name, for paths and URLs. Not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id in hexadecimal.
    pub fn id_hex(&self) -> &str {
        self.0.split_once('.').map_or("", |(id, _)| id)
    }
}

impl fmt::Debug for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImageName(…)")
    }
}

impl TryFrom<String> for ImageId {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::parse(&text)
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.hex()
    }
}

impl TryFrom<String> for ImageName {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        Self::parse(&text)
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

/// Returns the value of the `Authorization` header.
pub fn authorization(secret: &Secret) -> String {
    format!("Bearer {}", secret.expose())
}

/// Whether the value of an `Authorization` header holds the secret.
#[must_use]
pub fn is_authorized(secret: &Secret, header: Option<&str>) -> bool {
    header.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(|presented| secret.matches(presented))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_name_is_an_id_with_an_extension() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(ImageName::parse(&format!("{id}.jpg")).is_ok());
        for wrong in ["", ".", "x.jpg", &format!("{id}.svg"), &format!("{id}.jpg.png"), &format!("{id}0.jpg"), id] {
            assert!(ImageName::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(ImageName::parse(&format!("{}.jpg", id.to_uppercase())).is_err());
        assert!(ImageName::parse("../456789abcdef0123456789abcdef0.jpg").is_err());
    }
}
