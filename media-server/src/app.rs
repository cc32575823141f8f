//! The application: what handlers share, and why it does not start.

use shared::clock::Clock;
use shared::http::body::BodyLimits;
use shared::secret::{Secret, SecretError};

use crate::config::Config;
use crate::decode_pool::DecodePool;
use crate::http::rendition_query::RenditionSizes;
use crate::renditions::Renditions;
use crate::storage::{OpenError, Storage};
use crate::verification::Verifier;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// Shared by auth-api and media-server.
    pub secret: Secret,
    pub storage: Storage,
    pub verifier: Verifier,
    pub renditions: Renditions,
    pub rendition_sizes: RenditionSizes,
    pub picture_bytes_max: usize,
    pub body_limits: BodyLimits,
}

/// Why media-server does not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("MEDIA_SECRET_FILE: {0}")]
    Secret(#[from] SecretError),
    #[error("STORAGE_URL: {0}")]
    Storage(#[from] OpenError),
    #[error("DECODERS: can't start the decode pool: {0}")]
    DecodePool(std::io::Error),
    #[error("{name}: can't listen on {address}: {error}")]
    Listen { name: &'static str, address: String, error: std::io::Error },
}

impl App {
    /// Opens the storage and starts the decode pool.
    pub async fn new(config: &Config, clock: &Clock) -> Result<Self, StartError> {
        let secret = Secret::read(&config.media_secret_file)?;
        let storage = Storage::open(&config.storage, clock).await?;
        let pool = DecodePool::start(&config.decode_pool).map_err(StartError::DecodePool)?;
        let largest = config.rendition_sizes.largest();
        Ok(Self {
            secret,
            verifier: Verifier::new(pool.clone(), config.limits, largest),
            renditions: Renditions::new(storage.clone(), pool, largest, &config.decode_pool.workers),
            storage,
            rendition_sizes: config.rendition_sizes.clone(),
            picture_bytes_max: config.picture_bytes_max,
            body_limits: config.body_limits.clone(),
        })
    }
}
