//! What a stack is started with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::interrupt::Interrupt;

/// Where scratch stacks keep their state, in the checkout; git-ignored like all that starts with `.data`.
const SCRATCH: &str = ".data-scratch";

/// How to start a stack. [`Options::new`] and [`Options::scratch`] have the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The front port on 127.0.0.1; 0 is any free one.
    pub port: u16,
    /// The directory of all state, made where it is missing.
    pub data: PathBuf,
    /// The directory of `auth-api` and `media-server`: by default the one this program was built into.
    pub binaries: PathBuf,
    /// Settings of the two services, over those of the runner's environment.
    pub environment: Vec<(String, String)>,
    /// Whether `data` is removed at the end, and need not survive a power cut.
    pub scratch: bool,
    /// Told what is being done.
    pub progress: fn(&str),
    /// Ends a start that is under way.
    pub interrupt: Interrupt,
}

impl Options {
    /// A stack with its state in `data`, on any free port.
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

    /// A stack for one test: any free port, state of its own that goes with it.
    pub fn scratch() -> Result<Self, Error> {
        Ok(Self { scratch: true, ..Self::new(scratch_directory())? })
    }

    /// Sets a setting of the services.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A path that is nobody's yet, for state that goes with this process.
pub(crate) fn scratch_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let all = project().join(SCRATCH);
    remove_abandoned(&all);
    all.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// The checkout.
pub(crate) fn project() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// `target/release` for the program itself as for a test of it, which is in `target/release/deps`.
fn own_directory() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::file("the running program"))?;
    let directory = own.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    Ok(directory.unwrap_or(&own).to_owned())
}

/// Removes the state of scratch stacks whose process is gone.
fn remove_abandoned(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
