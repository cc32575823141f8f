//! Errors of the benchmarks.

use std::io;
use std::path::{Path, PathBuf};

/// Why a row could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Stack(#[from] deploy::Error),
    #[error("{0}")]
    Setting(#[from] shared::settings::SettingError),
    #[error("{0}")]
    AuthApi(#[from] auth_api::error::Error),
    #[error("{0}")]
    Store(#[from] auth_api::store::StoreError),
    #[error("Postgres: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    #[error("{0}")]
    Keys(#[from] auth_api::tokens::KeyError),
    /// No response, or an unexpected one.
    #[error("the client: {0}")]
    Client(String),
    #[error("wrk: {0}")]
    Wrk(String),
    #[error("memory: {0}")]
    Process(#[from] procfs::ProcError),
    #[error("baseline server: {0}")]
    BaselineServer(String),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns a function for `map_err` that adds the path to an I/O error.
    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.as_ref().to_owned(), error }
    }

    /// Converts the error of a client, for `map_err`.
    pub(crate) fn client(error: impl std::fmt::Display) -> Self {
        Self::Client(error.to_string())
    }
}
