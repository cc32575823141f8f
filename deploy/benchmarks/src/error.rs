//! Why a row could not be measured.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A stack that does not start, or a part of it that ended.
    #[error("{0}")]
    Stack(#[from] deploy::Error),
    /// A setting of auth-api that can't be read.
    #[error("{0}")]
    Setting(#[from] shared::settings::SettingError),
    /// auth-api's own code refused.
    #[error("{0}")]
    AuthApi(#[from] auth_api::error::Error),
    /// A store refused.
    #[error("{0}")]
    Store(#[from] auth_api::store::StoreError),
    /// Postgres refused.
    #[error("Postgres: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// Redis refused.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// The stack's signing keys.
    #[error("{0}")]
    Keys(#[from] auth_api::tokens::KeyError),
    /// The client got no answer, or not the one it needs.
    #[error("the client: {0}")]
    Client(String),
    /// wrk ended in another way than it should.
    #[error("wrk: {0}")]
    Wrk(String),
    /// A process could not be looked at.
    #[error("memory: {0}")]
    Process(#[from] procfs::ProcError),
    /// The bare server did not start.
    #[error("the bare server: {0}")]
    Bare(String),
    /// A file or a program of the bench could not be used.
    #[error("{path}: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: names the file in an I/O error.
    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.as_ref().to_owned(), error }
    }

    /// For `map_err`: what the client of our own says.
    pub(crate) fn client(error: impl std::fmt::Display) -> Self {
        Self::Client(error.to_string())
    }
}
