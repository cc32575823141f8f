//! Errors of the stack runner.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::service::Service;

/// Why a stack could not start or has failed, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("port {port} is taken by {holder}: stop it, or choose another with --port")]
    PortTaken { port: u16, holder: String },
    #[error("no free port between {0} and {1}")]
    NoFreePort(u16, u16),
    #[error("{0} is in use by another stack: stop it, or choose another directory with --data")]
    DataDirInUse(PathBuf),
    #[error(
        "{0} belongs to another account (uid {1}): run as that one or as root, or choose another directory with --data"
    )]
    DataDirOfAnother(PathBuf, u32),
    #[error(
        "PostgreSQL refuses to run as root, and there is no account `postgres` to run it as: install Debian's package `postgresql`"
    )]
    NoAccount,
    #[error("the account with uid {uid} can't use {path}: move the checkout or --data to where it can")]
    NoAccess { uid: u32, path: PathBuf },
    #[error("{0} not found: `deploy/up` installs and builds what the stack needs")]
    NoProgram(String),
    #[error("{path} was made by PostgreSQL {version}, which is not installed")]
    NoSuchPostgres { path: PathBuf, version: String },
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("can't start {0}: {1}")]
    Spawn(&'static str, io::Error),
    /// A command that ends by itself (initdb, migrations) failed.
    #[error("{step} failed ({status}); its last log lines:\n{log}")]
    Step { step: &'static str, status: ExitStatus, log: String },
    #[error("{service} ended unexpectedly ({status}); its last log lines:\n{log}")]
    Died { service: Service, status: ExitStatus, log: String },
    #[error("{service} is not ready after {seconds} s; its last log lines:\n{log}")]
    NotReady { service: Service, seconds: u64, log: String },
    #[error("{0} is not running")]
    NotRunning(&'static str),
    #[error("can't signal {0}: {1}")]
    Signal(&'static str, io::Error),
    #[error("a process of an earlier run still uses {0}")]
    StillInUse(PathBuf),
    #[error("{path} has no line {name}=…")]
    NoSuchVariable { path: PathBuf, name: &'static str },
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns a function for `map_err` that adds the path to an I/O error.
    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.as_ref().to_owned(), error }
    }
}
