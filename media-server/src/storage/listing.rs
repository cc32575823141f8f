//! Pages of a listing.

use std::time::SystemTime;

use shared::media_api::ImageId;

/// A stored picture, or leftover renditions of one.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedImage {
    pub id: ImageId,
    /// Of the picture, or of one of its renditions where only those are left.
    pub modified: SystemTime,
    /// Whether the picture itself is stored; else only renditions are.
    pub has_original: bool,
}

/// A page, in the order of ids.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub images: Vec<ListedImage>,
    /// `after` of the next page, which need not be the id of a picture. `None` on the last page.
    pub next: Option<ImageId>,
}
