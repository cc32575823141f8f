//! What is stored, page by page.

use std::time::SystemTime;

use shared::media_api::ImageId;

/// A picture that is stored, or what is left of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: ImageId,
    /// When it was stored; where only renditions are left, when one of them was.
    pub modified: SystemTime,
    /// Whether the picture itself is there; else only renditions are.
    pub has_original: bool,
}

/// Some of the pictures, in the order of their ids.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// They.
    pub images: Vec<Listed>,
    /// What the next page is to be after; not always the id of a picture. None: this was the last page.
    pub next: Option<ImageId>,
}
