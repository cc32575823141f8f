//! The running process of a part.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use procfs::process::{Process, all_processes};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::error::Error;
use crate::part::Part;
use crate::spawner;

/// How often it is looked whether something has happened.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A part's process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    part: Part,
    process: std::process::Child,
}

impl Child {
    /// Starts `command`.
    pub(crate) fn start(part: Part, mut command: Command) -> Result<Self, Error> {
        // A group of its own: Ctrl-C on the terminal reaches the runner, which stops its children in order.
        command.process_group(0);
        let process = spawner::spawn(command).map_err(|error| Error::Spawn(part.to_string(), error))?;
        Ok(Self { part, process })
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Sends `signal`: `STOP`, `CONT` and `KILL` to it and all its descendants (a stopped postmaster alone stops no
    /// query, a killed nginx master leaves its workers listening), any other to itself.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.exited().is_some() {
            return Err(Error::NotRunning(self.part));
        }
        let pids =
            if [Signal::STOP, Signal::CONT, Signal::KILL].contains(&signal) { self.pids() } else { vec![self.pid()] };
        for pid in pids {
            send(pid, signal).map_err(|error| Error::Signal(self.part, error))?;
        }
        Ok(())
    }

    /// Asks it to stop, waits, and kills it where it does not.
    pub(crate) fn stop(&mut self) {
        let deadline = Instant::now() + self.part.stop_within();
        // It may have ended in between; a stopped process takes no signal until it goes on.
        let _ = self.signal(self.part.stop_signal()).and_then(|()| self.signal(Signal::CONT));
        while self.exited().is_none() {
            if Instant::now() > deadline {
                return self.kill();
            }
            thread::sleep(POLL);
        }
    }

    /// Kills it and its descendants.
    pub(crate) fn kill(&mut self) {
        // It may have ended in between.
        let _ = self.signal(Signal::KILL);
        let _ = self.process.wait();
    }

    /// Gives it `input` and closes its standard input, which must be piped.
    pub(crate) fn write(&mut self, input: &str) {
        if let Some(mut stdin) = self.process.stdin.take() {
            // If it does not want it, its exit status says more.
            let _ = stdin.write_all(input.as_bytes());
        }
    }

    /// It and its descendants, it first.
    pub(crate) fn pids(&self) -> Vec<i32> {
        with_descendants(self.pid())
    }

    fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `root` first, so that it forks no more while its descendants are being signalled.
fn with_descendants(root: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = all_processes()
        .into_iter()
        .flatten()
        .filter_map(|process| process.and_then(|process| process.stat()).ok())
        .map(|stat| (stat.pid, stat.ppid))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found
}

fn send(pid: i32, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match kill_process(pid, signal) {
        // A descendant that has just ended.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a server of some stack works in `directory` or below. (A shell may: it is in nobody's way.)
pub(crate) fn any_lives_in(directory: &Path) -> bool {
    let servers = Part::ALL.map(Part::process_name);
    let lives_here = |process: Process| {
        process.stat().is_ok_and(|stat| servers.contains(&stat.comm.as_str()))
            && process.cwd().is_ok_and(|cwd| cwd.starts_with(directory))
    };
    all_processes().into_iter().flatten().filter_map(Result::ok).any(lives_here)
}
