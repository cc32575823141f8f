//! A Redis beside a stack's own, for the arrangements that a stack does not have: a node of a Cluster, a Sentinel, a
//! server with TLS. What it is stands in its `redis.conf`, which the caller writes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;

use crate::account::Account;
use crate::child::Child;
use crate::data_dir::write_private;
use crate::error::Error;
use crate::options::scratch_directory;
use crate::part::Part;
use crate::ports;
use crate::programs;

/// A running `redis-server`, with a directory of its own. Dropping it kills it and removes the directory.
#[derive(Debug)]
pub struct RedisServer {
    directory: PathBuf,
    child: Mutex<Child>,
}

impl RedisServer {
    /// Starts one with this `redis.conf`, in a new directory; `--sentinel` as an argument makes it a Sentinel.
    pub fn start(configuration: &str, arguments: &[&str]) -> Result<Self, Error> {
        let directory = scratch_directory();
        fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
        write_private(&directory.join("redis.conf"), configuration, None)?;
        let child = Mutex::new(start(&directory, arguments)?);
        Ok(Self { directory, child })
    }

    /// A port of this machine that is free at present.
    pub fn free_port() -> Result<u16, Error> {
        ports::any_free()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.child().signal(signal)
    }

    /// Kills it as `kill -9` would, and waits until it is gone.
    pub fn kill(&self) {
        self.child().kill();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        // What can't be removed is removed before the next scratch stack.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn start(directory: &Path, arguments: &[&str]) -> Result<Child, Error> {
    let log = directory.join("redis.log");
    let open = || File::options().append(true).create(true).open(&log).map_err(Error::file(&log));
    let mut command = Account::own_one().command(programs::find("redis-server")?, Part::Redis.orphan_signal());
    command.arg("redis.conf").args(arguments).current_dir(directory);
    command.stdout(Stdio::from(open()?)).stderr(Stdio::from(open()?));
    Child::start(Part::Redis, command)
}
