//! The stacks and servers that rows are measured on.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deploy::{Gateway, Interrupt};
use tokio::runtime::Runtime;

use crate::error::Error;
use crate::harness::baseline_server::BaselineServer;
use crate::harness::deployment::Deployment;
use crate::harness::http_client::address;
use crate::harness::media::MediaFixture;
use crate::harness::population::Size;

/// Duration and number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct RunLength {
    /// Duration of one measurement.
    pub time: Duration,
    /// Number of measurements of each side.
    pub rounds: usize,
}

impl RunLength {
    /// For reliable figures.
    pub const FULL: Self = Self { time: Duration::from_secs(5), rounds: 5 };
    /// For a quick look.
    pub const QUICK: Self = Self { time: Duration::from_secs(1), rounds: 3 };
}

/// The stacks and servers of a run. Each is started when a row first needs it, and stopped in order on drop.
pub struct Bench {
    pub run_length: RunLength,
    pub runtime: Runtime,
    interrupt: Interrupt,
    data: PathBuf,
    // In drop order: a proxy before its upstreams.
    media: OnceCell<MediaFixture>,
    baseline_gateway: OnceCell<Gateway>,
    baseline_server: OnceCell<BaselineServer>,
    small: OnceCell<Deployment>,
    large: OnceCell<Deployment>,
}

/// Directory of all state, relative to this crate; git-ignored like everything that starts with `.data`.
const DATA: &str = "../../.data-bench";

impl Bench {
    /// Creates the data directory; starts nothing yet.
    pub fn new(run_length: RunLength, interrupt: Interrupt) -> Result<Self, Error> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA);
        fs::create_dir_all(data.join("requests")).map_err(Error::file(&data))?;
        Ok(Self {
            run_length,
            runtime: Runtime::new().map_err(Error::file("the runtime"))?,
            interrupt,
            data: data.canonicalize().map_err(Error::file(&data))?,
            media: OnceCell::new(),
            baseline_gateway: OnceCell::new(),
            baseline_server: OnceCell::new(),
            small: OnceCell::new(),
            large: OnceCell::new(),
        })
    }

    /// Returns the stack with a million users.
    pub fn large(&self) -> Result<&Deployment, Error> {
        once(&self.large, || self.deployment("large", Size::LARGE))
    }

    /// Returns the stack with a thousand users.
    pub fn small(&self) -> Result<&Deployment, Error> {
        once(&self.small, || self.deployment("small", Size::SMALL))
    }

    /// Returns the server whose fixed response is like `me` of the large stack.
    pub fn baseline_server(&self) -> Result<&BaselineServer, Error> {
        once(&self.baseline_server, || {
            BaselineServer::start(&self.runtime, self.large()?, &self.requests("baseline-response"))
        })
    }

    /// Returns the base URL of an nginx with the stack's configuration and [`Bench::baseline_server`] as its upstream.
    pub fn baseline_gateway(&self) -> Result<&str, Error> {
        let gateway = once(&self.baseline_gateway, || {
            let address = address(self.baseline_server()?.base())?;
            Ok(self.large()?.stack()?.gateway("nginx-baseline", address, address)?)
        })?;
        Ok(gateway.base())
    }

    /// Returns the test pictures and their media-server.
    pub fn media(&self) -> Result<&MediaFixture, Error> {
        once(&self.media, || MediaFixture::start(&self.runtime, self.small()?, &self.data.join("pictures")))
    }

    /// Returns the path for the requests of a row.
    pub fn requests(&self, name: &str) -> PathBuf {
        self.data.join("requests").join(name)
    }

    /// Fails if a service has ended or the run is interrupted; rotates logs. Call it between measurements.
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
