//! Options of a stack.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::interrupt::Interrupt;

/// Directory of scratch stacks, in the checkout; git-ignored like everything that starts with `.data`.
const SCRATCH: &str = ".data-scratch";

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port of nginx on 127.0.0.1; 0 is any free port.
    pub port: u16,
    /// The data directory; created if missing.
    pub data: PathBuf,
    /// Directory of `auth-api` and `media-server`; by default that of the running program.
    pub binaries: PathBuf,
    /// Settings of auth-api and media-server, taking precedence over the runner's environment.
    pub environment: Vec<(String, String)>,
    /// Whether to remove `data` when the stack is dropped, and not to sync it to disk.
    pub scratch: bool,
    /// Called with a description of each step.
    pub progress: fn(&str),
    /// Cancels a start in progress.
    pub interrupt: Interrupt,
}

impl Options {
    /// Options of a stack with its state in `data`, on any free port.
    pub fn new(data: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self {
            port: 0,
            data: data.into(),
            binaries: own_directory()?,
            environment: Vec::new(),
            scratch: false,
            progress: |_| {},
            interrupt: Interrupt::default(),
        })
    }

    /// Options of a stack with temporary state, on any free port.
    pub fn scratch() -> Result<Self, Error> {
        Ok(Self { scratch: true, ..Self::new(scratch_directory())? })
    }

    /// Adds a setting of auth-api and media-server.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Returns an unused path for temporary state.
pub(crate) fn scratch_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let all = project().join(SCRATCH);
    remove_abandoned(&all);
    all.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Returns the directory of the checkout.
pub(crate) fn project() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Returns the directory of built programs (`target/release`), also for a test, which runs in its subdirectory `deps`.
fn own_directory() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::file("the running program"))?;
    let directory = own.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    Ok(directory.unwrap_or(&own).to_owned())
}

/// Removes the state of scratch stacks whose process has ended.
fn remove_abandoned(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test may remove it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
