//! Pictures from upload to delivery.

mod delivery;
mod metadata;
mod nginx_cache;
mod reconciliation;
mod renditions;
mod storage;

pub use delivery::NOT_A_PICTURE;

use crate::support::{Api, TestUser, path_of, stack};

/// Registers a user with this picture and returns its link.
async fn link_of(picture: &[u8]) -> String {
    TestUser::with_picture(&Api::new(), picture).await.picture().await.unwrap()
}

/// The link through nginx, and at media-server itself.
fn both_ways(link: &str) -> [String; 2] {
    [link.to_owned(), direct(&stack().media_server, link)]
}

/// The link at media-server itself.
fn direct(media_server: &str, link: &str) -> String {
    format!("{media_server}{}", path_of(link))
}
