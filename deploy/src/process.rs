//! Child processes that do not outlive this one, even where it is killed with `kill -9`.
//!
//! The kernel can send a process a signal when its parent dies (`PR_SET_PDEATHSIG`), and `setpriv` arranges that. The
//! 'parent' is the **thread** that forked: so one thread, which lives as long as this process, starts all children.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use procfs::process::{Process as ProcEntry, all_processes};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::account::Account;
use crate::error::Error;
use crate::service::Service;

/// Pause between two checks of a condition.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A running child process. Dropping it kills it and its descendants.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Returns a command that runs `program` as the current user. It is sent `orphan_signal` when this process dies, and
    /// its standard input is empty.
    pub fn command(program: impl AsRef<OsStr>, orphan_signal: &str) -> Command {
        Account::current().command(program, orphan_signal)
    }

    /// Starts `command`, made by [`Process::command`]; errors call it `name`.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self, Error> {
        // A process group of its own: Ctrl-C on the terminal reaches the parent alone, which stops its children in order.
        command.process_group(0);
        let child = spawn(command).map_err(|error| Error::Spawn(name, error))?;
        Ok(Self { name, child })
    }

    /// Returns the process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Returns the ids of the process and its descendants, its own first.
    pub fn pids(&self) -> Vec<i32> {
        with_descendants(self.pid())
    }

    /// Returns the exit status if the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Takes the read end of standard output, if the command piped it.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends `signal`: `STOP`, `CONT` and `KILL` to the process and all its descendants (stopping the postmaster alone
    /// stops no query, and the workers of a killed nginx master keep listening), any other to the process alone.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.exited().is_some() {
            return Err(Error::NotRunning(self.name));
        }
        let to_all = [Signal::STOP, Signal::CONT, Signal::KILL].contains(&signal);
        let pids = if to_all { self.pids() } else { vec![self.pid()] };
        for pid in pids {
            send(pid, signal).map_err(|error| Error::Signal(self.name, error))?;
        }
        Ok(())
    }

    /// Sends `signal`, waits for the process to exit, and kills it after `timeout`.
    pub(crate) fn stop(&mut self, signal: Signal, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        // It may have ended meanwhile. CONT: a stopped process handles no signal before it continues.
        let _ = self.signal(signal).and_then(|()| self.signal(Signal::CONT));
        while self.exited().is_none() {
            if Instant::now() > deadline {
                return self.kill();
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the process and its descendants, and waits until it has ended.
    pub fn kill(&mut self) {
        // It may have ended meanwhile.
        let _ = self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Writes `input` to standard input, which must be piped, and closes it.
    pub(crate) fn write(&mut self, input: &str) {
        if let Some(mut stdin) = self.child.stdin.take() {
            // A failed write shows in the exit status, which says more.
            let _ = stdin.write_all(input.as_bytes());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

type SpawnRequest = (Command, Sender<io::Result<Child>>);

/// Starts `command` from the spawner thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<SpawnRequest>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<SpawnRequest>();
        thread::spawn(move || {
            for (mut command, reply) in requests {
                // The receiver waits below.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = channel();
    let ended = || io::Error::other("the spawner thread has ended");
    spawner.send((command, reply)).map_err(|_| ended())?;
    child.recv().map_err(|_| ended())?
}

/// Returns `root` and its descendants; `root` first, so that it is signalled before it can fork again.
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
        // ESRCH: a descendant that has just ended.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether a stack's server has its working directory in `directory`. (A shell there does not matter.)
pub(crate) fn any_runs_in(directory: &Path) -> bool {
    let servers = Service::ALL.map(Service::process_name);
    let runs_here = |process: ProcEntry| {
        process.stat().is_ok_and(|stat| servers.contains(&stat.comm.as_str()))
            && process.cwd().is_ok_and(|cwd| cwd.starts_with(directory))
    };
    all_processes().into_iter().flatten().filter_map(Result::ok).any(runs_here)
}
