//! A Redis server outside the stack, for topologies that a stack does not have: Cluster node, Sentinel, server with TLS.
//! Its `redis.conf`, which the caller writes, says which.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;

use crate::data_dir::write_private;
use crate::error::Error;
use crate::options::scratch_directory;
use crate::process::Process;
use crate::programs;
use crate::service::Service;

/// A running `redis-server` with its own directory. Dropping it kills it and removes the directory.
#[derive(Debug)]
pub struct RedisServer {
    directory: PathBuf,
    process: Mutex<Process>,
}

impl RedisServer {
    /// Starts a server with this `redis.conf` in a new directory; the argument `--sentinel` makes it a Sentinel.
    pub fn start(configuration: &str, arguments: &[&str]) -> Result<Self, Error> {
        let directory = scratch_directory();
        fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
        write_private(&directory.join("redis.conf"), configuration, None)?;
        let process = Mutex::new(start(&directory, arguments)?);
        Ok(Self { directory, process })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.process().signal(signal)
    }

    /// Kills the server as `kill -9` would, and waits until it has ended.
    pub fn kill(&self) {
        self.process().kill();
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        // What can't be removed now is removed before the next scratch stack.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn start(directory: &Path, arguments: &[&str]) -> Result<Process, Error> {
    let log = directory.join("redis.log");
    let open = || File::options().append(true).create(true).open(&log).map_err(Error::file(&log));
    let mut command = Process::command(programs::find("redis-server")?, Service::Redis.orphan_signal());
    command.arg("redis.conf").args(arguments).current_dir(directory).stdout(open()?).stderr(open()?);
    Process::start(Service::Redis.name(), command)
}
