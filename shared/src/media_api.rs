//! What auth-api and media-server say to each other, said once.
//!
//! media-server's writing side listens on an address of its own that nginx does not reach, and answers only who
//! sends the secret of the two services ([`authorization`]).
//!
//! | request | answer |
//! | --- | --- |
//! | `PUT /images/<id>`, the picture as body | 201 or 200 [`Stored`]; 422 [`Refused`]; 409 if `id` holds another picture |
//! | `POST /images/check`, the picture as body | 204; 422 [`Refused`]: nothing is stored |
//! | `DELETE /images/<id>` | 204, whether it was there or not, of whatever kind it was; its renditions go with it |
//! | `GET /images?after=<id>&limit=N` | 200 [`StoredPage`]: what is stored, in the order of ids, after `after` or from the first one; `limit` is 1 to [`LIST_LIMIT_MAX`], and that if it is left out |
//!
//! `PUT` and `DELETE` are idempotent, so that either may be sent again after a lost answer. Where media-server is
//! busy or its disk is full it answers 503 with `Retry-After`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::secret::Secret;

/// The path prefix of pictures for clients: a picture's link is the public origin, this, and its name.
pub const PUBLIC_PREFIX: &str = "/api/user/media/";

/// The path that checks a picture without storing it.
pub const CHECK_PATH: &str = "/images/check";

/// The path that lists what is stored.
pub const LIST_PATH: &str = "/images";

/// Pictures on one page of a listing at most, and where no limit is asked for.
pub const LIST_LIMIT_MAX: usize = 1000;

/// A picture's identity: 128 random bits, chosen by auth-api before it uploads, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId([u8; 16]);

/// The kinds of picture that are taken, told by their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageKind {
    /// ISO/IEC 10918.
    Jpeg,
    /// W3C PNG, animated or not.
    Png,
    /// GIF 87a and 89a.
    Gif,
    /// RFC 9649.
    Webp,
}

/// A stored picture's name: its id in hexadecimal and its true extension, as in `0123456789abcdef0123456789abcdef.jpg`.
///
/// It has no `Display` because it must not get into a log: a picture's name is as good as the picture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// The answer to an accepted `PUT`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The name it is delivered under.
    pub name: ImageName,
}

/// A page of what is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredPage {
    /// In the order of their ids.
    pub images: Vec<StoredImage>,
    /// What the next page is to be `after`, which need not be the id of a picture. None: this was the last page. A page
    /// may be empty and not the last.
    pub next: Option<ImageId>,
}

/// A picture that is stored, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Which.
    pub id: ImageId,
    /// When it was stored, in Unix seconds by the storage's clock; of renditions alone, when one of them was.
    pub stored_at: u64,
    /// Whether the picture itself is there; else only renditions of it are, which nobody can get and `DELETE` deletes.
    pub has_original: bool,
}

/// The answer to a picture that is not taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why, for our logs; a client is told "Upload a valid image. …".
    pub reason: String,
}

/// A text that is no [`ImageName`] or [`ImageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a picture")]
pub struct NotAName;

impl ImageId {
    /// A new one.
    pub fn new(random: &Random) -> Self {
        Self(random.bytes())
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotAName);
        }
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| NotAName)?;
        Ok(Self(id))
    }

    /// The path to `PUT` it to and to `DELETE` it at.
    pub fn path(self) -> String {
        format!("/images/{}", hex::encode(self.0))
    }

    /// The id in hexadecimal: the same in every name of this picture.
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }
}

impl ImageKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::Webp];

    /// The file extension, without the dot.
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
    /// The name of the picture `id` of this kind.
    pub fn new(id: ImageId, kind: ImageKind) -> Self {
        Self(format!("{}.{}", id.hex(), kind.extension()))
    }

    /// Reads a name: an [`ImageId`], a dot, and one of the extensions.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let (id, extension) = text.split_once('.').ok_or(NotAName)?;
        ImageId::parse(id)?;
        if !ImageKind::ALL.iter().any(|kind| kind.extension() == extension) {
            return Err(NotAName);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name, to build a path or a link of. Not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id it was uploaded under, in hexadecimal.
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

/// The value of the `Authorization` header that the writing side asks for.
pub fn authorization(secret: &Secret) -> String {
    format!("Bearer {}", secret.expose())
}

/// Whether `header`, an `Authorization` header's value, shows the secret.
#[must_use]
pub fn is_authorized(secret: &Secret, header: Option<&str>) -> bool {
    header.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(|shown| secret.matches(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_id_and_one_of_the_extensions() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(ImageName::parse(&format!("{id}.jpg")).is_ok());
        for wrong in ["", ".", "x.jpg", &format!("{id}.svg"), &format!("{id}.jpg.png"), &format!("{id}0.jpg"), id] {
            assert!(ImageName::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(ImageName::parse(&format!("{}.jpg", id.to_uppercase())).is_err());
        assert!(ImageName::parse("../456789abcdef0123456789abcdef0.jpg").is_err());
    }
}
