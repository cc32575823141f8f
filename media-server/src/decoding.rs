//! Decodes pictures on bounded threads of their own (see [`shared::workers`]).
//!
//! A picture takes tens of milliseconds of one core and several bytes of memory for each pixel.

use bytes::Bytes;
use shared::media_api::ImageKind;
use shared::workers::{Overload, Workers, WorkersConfig};

use crate::error::Error;
use crate::images::{self, PictureLimits, Refusal};

/// What decoding may cost.
#[derive(Clone, Debug)]
pub struct DecodingConfig {
    /// Pictures decoded at once, and how many may wait.
    pub workers: WorkersConfig,
    /// What a picture may cost.
    pub limits: PictureLimits,
}

/// The decoding threads; they end with this.
#[derive(Debug)]
pub struct Decoding {
    workers: Workers<()>,
    limits: PictureLimits,
}

impl Decoding {
    /// Starts the threads.
    pub fn start(config: &DecodingConfig) -> std::io::Result<Self> {
        Ok(Self { workers: Workers::start("decoding", &config.workers, || ())?, limits: config.limits })
    }

    /// Decodes a picture in full and tells its kind.
    pub async fn check(&self, picture: Bytes) -> Result<ImageKind, Error> {
        let limits = self.limits;
        match self.workers.run(move |()| images::check(&picture, limits)).await {
            Ok(checked) => checked.map_err(Error::Refused),
            Err(Overload::Panicked) => Err(Error::Refused(Refusal::Broken("its decoder panicked".to_owned()))),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }
}
