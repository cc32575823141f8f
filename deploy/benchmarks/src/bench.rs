//! What rows are measured on.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deploy::{Front, Interrupt};
use tokio::runtime::Runtime;

use crate::bare::Bare;
use crate::client::address;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::pictures::Pictures;
use crate::population::Size;

/// How long is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Of one measurement.
    pub time: Duration,
    /// Measurements of each side.
    pub rounds: usize,
}

impl Pace {
    /// For figures to rely on.
    pub const FULL: Self = Self { time: Duration::from_secs(5), rounds: 5 };
    /// For a first look.
    pub const QUICK: Self = Self { time: Duration::from_secs(1), rounds: 3 };
}

/// The stacks and servers of a run. Each is started when a row first asks for it, and stopped in order when this is
/// dropped.
pub struct Bench {
    /// How thorough the run is.
    pub pace: Pace,
    /// Where our own clients run.
    pub runtime: Runtime,
    interrupt: Interrupt,
    data: PathBuf,
    // In the order they are dropped: whoever is in front goes first.
    pictures: OnceCell<Pictures>,
    bare_front: OnceCell<Front>,
    bare: OnceCell<Bare>,
    small: OnceCell<Deployment>,
    large: OnceCell<Deployment>,
}

/// Where the state of the bench is, in the checkout; git-ignored like all that starts with `.data`.
const DATA: &str = "../../.data-bench";

impl Bench {
    /// Starts nothing yet.
    pub fn new(pace: Pace, interrupt: Interrupt) -> Result<Self, Error> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA);
        fs::create_dir_all(data.join("requests")).map_err(Error::file(&data))?;
        Ok(Self {
            pace,
            runtime: Runtime::new().map_err(Error::file("the runtime"))?,
            interrupt,
            data: data.canonicalize().map_err(Error::file(&data))?,
            pictures: OnceCell::new(),
            bare_front: OnceCell::new(),
            bare: OnceCell::new(),
            small: OnceCell::new(),
            large: OnceCell::new(),
        })
    }

    /// The stack with a million users.
    pub fn large(&self) -> Result<&Deployment, Error> {
        once(&self.large, || self.deployment("large", Size::LARGE))
    }

    /// The stack with a thousand.
    pub fn small(&self) -> Result<&Deployment, Error> {
        once(&self.small, || self.deployment("small", Size::SMALL))
    }

    /// The server that gives the answer of the large stack's `me`, always the same, and nothing else.
    pub fn bare(&self) -> Result<&Bare, Error> {
        once(&self.bare, || Bare::start(&self.runtime, self.large()?, &self.requests("bare")))
    }

    /// An nginx of the same configuration as the stack's before [`Bench::bare`]; its address.
    pub fn bare_front(&self) -> Result<&str, Error> {
        let front = once(&self.bare_front, || {
            let address = address(self.bare()?.base())?;
            Ok(self.large()?.stack()?.front("nginx-bare", address, address)?)
        })?;
        Ok(front.base())
    }

    /// Pictures, and a media-server of their own behind an nginx of the same configuration as the stack's.
    pub fn pictures(&self) -> Result<&Pictures, Error> {
        once(&self.pictures, || Pictures::start(&self.runtime, self.small()?, &self.data.join("pictures")))
    }

    /// Where the requests of a row go.
    pub fn requests(&self, name: &str) -> PathBuf {
        self.data.join("requests").join(name)
    }

    /// Fails if a part has died or somebody wants to stop; keeps logs within their bound. To be called between measurements.
    pub fn check(&self) -> Result<(), Error> {
        if self.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        for deployment in [&self.large, &self.small].into_iter().filter_map(OnceCell::get) {
            deployment.stack()?.check()?;
        }
        Ok(())
    }

    fn deployment(&self, name: &str, size: Size) -> Result<Deployment, Error> {
        Deployment::start(&self.runtime, &self.data.join(name), size, self.interrupt.clone())
    }
}

fn once<T>(cell: &OnceCell<T>, start: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
    if let Some(started) = cell.get() {
        return Ok(started);
    }
    let started = start()?;
    Ok(cell.get_or_init(|| started))
}
