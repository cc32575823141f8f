//! media-server: pictures.
//!
//! An upload: [`shared::http::serve`] → [`routes::writing`] → [`uploads`] → [`decoding`] (all of [`images`], which makes
//! of what came what is kept) → [`storage`]. A delivery: [`routes::delivering`] → [`delivery`] (→ [`renditions`] →
//! [`decoding`]) → [`storage`]. What goes wrong becomes an answer in [`error`], once.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`config`] | every setting, its default and its unit |
//! | [`routes`] | two tables: one for nginx, one for auth-api |
//! | [`uploads`] | `PUT`, `POST` and `DELETE`, for auth-api |
//! | [`listing`] | what is stored, page by page, for auth-api |
//! | [`delivery`] | `GET` and `HEAD`, for everybody |
//! | [`decoding`] | cleans and decodes on bounded threads, in bounded memory |
//! | [`images`] | what a picture is, and what stays of it; a file for each kind; knows no HTTP and no storage |
//! | [`renditions`] | square, upright, small: `?size=N`; made once, kept beside the picture |
//! | [`storage`] | where pictures lie: a directory or a bucket, and a little in memory; knows no HTTP |
//! | [`error`] | what can go wrong, and the one place where it becomes an answer |

pub mod config;
pub mod decoding;
pub mod delivery;
pub mod error;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod images;
pub mod listing;
pub mod readiness;
pub mod renditions;
pub mod routes;
pub mod storage;
pub mod uploads;

use shared::clock::Clock;
use shared::http::body::BodyLimits;
use shared::secret::Secret;

use config::Config;
use decoding::Decoding;
use renditions::Renditions;
use storage::Storage;

/// All that a handler needs.
#[derive(Debug)]
pub struct App {
    /// The secret of the two services.
    pub secret: Secret,
    /// The pictures.
    pub storage: Storage,
    /// The decoding threads.
    pub decoding: Decoding,
    /// Renditions.
    pub renditions: Renditions,
    /// The largest picture, in bytes.
    pub picture_bytes_max: usize,
    /// What bodies may cost.
    pub bodies: BodyLimits,
}

/// Why media-server does not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The two services' secret.
    #[error("MEDIA_SECRET_FILE: {0}")]
    Secret(#[from] shared::secret::SecretError),
    /// Where pictures lie.
    #[error("STORAGE_URL: {0}")]
    Storage(#[from] storage::OpenError),
    /// The decoding threads.
    #[error("DECODERS: the threads do not start: {0}")]
    Decoding(std::io::Error),
    /// An address to listen on.
    #[error("{name}: can't listen on {address}: {error}")]
    Listen {
        /// The setting.
        name: &'static str,
        /// The address.
        address: String,
        /// Why not.
        error: std::io::Error,
    },
}

impl App {
    /// Puts the parts together.
    pub async fn new(config: &Config, clock: &Clock) -> Result<Self, StartError> {
        Ok(Self {
            secret: Secret::read(&config.media_secret_file)?,
            storage: Storage::open(&config.storage, clock).await?,
            decoding: Decoding::start(&config.decoding, config.rendition_sizes.largest())
                .map_err(StartError::Decoding)?,
            renditions: Renditions::new(config.rendition_sizes.clone(), &config.decoding),
            picture_bytes_max: config.picture_bytes_max,
            bodies: BodyLimits::new(config.body_memory_bytes, config.body_timeout),
        })
    }
}
