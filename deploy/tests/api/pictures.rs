//! Pictures from upload to delivery.

mod delivery;
mod metadata;
mod nginx_cache;
mod reconciliation;
mod renditions;
mod storage;

pub use delivery::NOT_A_PICTURE;
