//! media-server: stores pictures and delivers them.
//!
//! An upload goes from [`shared::http::serve`] through [`routes`] and [`handlers::uploads`] to [`verification`] (by
//! [`formats`]) and [`storage`]; a download through [`handlers::delivery`] to [`renditions`] and [`storage`]. Errors become
//! responses in [`error`].
//!
//! | module | |
//! | --- | --- |
//! | [`app`] | what handlers share |
//! | [`config`] | settings |
//! | [`routes`] | routes of the public API (nginx) and the internal API (auth-api) |
//! | [`handlers`] | a function for each route |
//! | [`http`] | conditional and range requests, the expiry of nginx's cache, `?size=` |
//! | [`verification`] | strips and decodes uploads |
//! | [`renditions`] | square thumbnails, made once and stored next to the picture |
//! | [`decode_pool`] | bounded threads and memory for image work |
//! | [`single_flight`] | one run of the work for concurrent requests |
//! | [`formats`] | image formats: metadata stripping, full decoding; knows no HTTP and no storage |
//! | [`storage`] | a directory or a bucket, with an in-memory cache; knows no HTTP |
//! | [`error`] | errors and their responses |

pub mod app;
pub mod config;
pub mod decode_pool;
pub mod error;
pub mod formats;
pub mod handlers;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod http;
pub mod renditions;
pub mod routes;
pub mod single_flight;
pub mod storage;
pub mod verification;

pub use app::App;
