//! Why a stack could not start, or did not go on.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::part::Part;

/// What went wrong, in a sentence that says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else listens on the front port.
    #[error("port {port} is taken by {holder}: stop it, or choose another with --port")]
    PortTaken {
        /// The port.
        port: u16,
        /// Its program and pid, as far as this account may see them.
        holder: String,
    },
    /// No free port was found for the stack's inside.
    #[error("no free port between {0} and {1}")]
    NoFreePort(u16, u16),
    /// Another runner uses the data directory.
    #[error("{0} is in use by another stack: stop it, or choose another directory with --data")]
    DataDirInUse(PathBuf),
    /// The data directory belongs to another account.
    #[error(
        "{0} belongs to another account (uid {1}): run as that one or as root, or choose another directory with --data"
    )]
    DataDirOfAnother(PathBuf, u32),
    /// Postgres refuses to run as root, and there is no account to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no account `postgres` to run it as: install Debian's package `postgresql`"
    )]
    NoAccount,
    /// The account that runs the children can't get at what they need.
    #[error("the account with uid {uid} can't use {path}: move the checkout or --data to where it can")]
    OutOfReach {
        /// Who runs the children.
        uid: u32,
        /// What it must read and write.
        path: PathBuf,
    },
    /// A program is not installed or not built.
    #[error("{0} is not there: `deploy/up` installs and builds what the stack needs")]
    NoProgram(String),
    /// The data directory was made by a Postgres that is not installed.
    #[error("{path} was made by PostgreSQL {version}, which is not installed")]
    NoSuchPostgres {
        /// The database's files.
        path: PathBuf,
        /// The major version in `PG_VERSION`.
        version: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A program could not be started.
    #[error("can't start {0}: {1}")]
    Spawn(String, io::Error),
    /// A step that ends by itself failed.
    #[error("{step} failed ({status}); its last lines:\n{log}")]
    Step {
        /// What it was.
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A part ended by itself.
    #[error("{part} ended ({status}); its last lines:\n{log}")]
    Died {
        /// Which one.
        part: Part,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A part runs and does not answer as it should.
    #[error("{part} is not ready after {seconds} s; its last lines:\n{log}")]
    NotReady {
        /// Which one.
        part: Part,
        /// How long it was waited for.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A part that was asked something is not running.
    #[error("{0} is not running")]
    NotRunning(Part),
    /// A process could not be signalled.
    #[error("can't signal {0}: {1}")]
    Signal(Part, io::Error),
    /// A process of an earlier run is still there.
    #[error("a process of an earlier run still uses {0}")]
    StillInUse(PathBuf),
    /// `DIR/env` lacks a line.
    #[error("{path} has no line {name}=…")]
    NoSuchVariable {
        /// The file.
        path: PathBuf,
        /// The variable.
        name: &'static str,
    },
    /// The user asked to stop while it was starting.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: names the file in an I/O error.
    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.as_ref().to_owned(), error }
    }
}
