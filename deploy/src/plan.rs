//! A stack as it is going to be: everything that a part's module needs to start it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::account::Account;
use crate::child::{self, Child};
use crate::data_dir::DataDir;
use crate::env::Env;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::logs::Logs;
use crate::options::Options;
use crate::part::Part;
use crate::ports::{Ports, Reserved};
use crate::programs;
use crate::secrets::Secrets;

/// How many lines of a log are shown when its part fails.
pub(crate) const TAIL_LINES: usize = 15;

/// How long the processes of a runner that was killed may take to go.
const LEAVING: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) account: Account,
    pub(crate) data: DataDir,
    pub(crate) logs: Logs,
    pub(crate) secrets: Secrets,
    pub(crate) ports: Ports,
    pub(crate) reserved: Reserved,
    pub(crate) programs: Programs,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) scratch: bool,
    pub(crate) progress: fn(&str),
    pub(crate) interrupt: Interrupt,
}

/// What is run.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The directory of Postgres's programs.
    pub(crate) postgres: PathBuf,
    pub(crate) redis: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) auth_api: PathBuf,
    pub(crate) media_server: PathBuf,
}

impl Plan {
    /// Takes the data directory and chooses ports; starts nothing.
    pub(crate) fn make(options: Options) -> Result<Self, Error> {
        let programs = Programs::find(&options)?;
        let mut account = Account::choose(&options.data)?;
        let data = DataDir::open(&options.data, &account)?;
        account.reach(data.path(), &[&programs.auth_api, &programs.media_server])?;
        let secrets = Secrets::open(&data, &account)?;
        wait_for_the_last_run(&data)?;
        let (ports, reserved) = Ports::choose(options.port)?;
        Ok(Self {
            logs: Logs(data.join("logs")),
            ports,
            reserved,
            account,
            data,
            secrets,
            programs,
            environment: options.environment,
            scratch: options.scratch,
            progress: options.progress,
            interrupt: options.interrupt,
        })
    }

    /// The command that is `part`'s server, run as the stack's account in `DIR/directory`, writing to the part's log.
    pub(crate) fn server(&self, part: Part, program: impl AsRef<OsStr>, directory: &str) -> Result<Command, Error> {
        self.command(part, program, directory, part.orphan_signal())
    }

    /// A command of `part` that ends by itself, for [`Plan::run`].
    pub(crate) fn step(&self, part: Part, program: impl AsRef<OsStr>, directory: &str) -> Result<Command, Error> {
        // initdb would finish what it is doing after any other.
        self.command(part, program, directory, "KILL")
    }

    fn command(
        &self,
        part: Part,
        program: impl AsRef<OsStr>,
        directory: &str,
        orphan_signal: &str,
    ) -> Result<Command, Error> {
        let mut command = self.account.command(program, orphan_signal);
        command.current_dir(self.data.join(directory));
        self.logs.attach(part, &mut command, &self.account)?;
        Ok(command)
    }

    /// Runs a command of `part` to its end, with `input` as its standard input.
    pub(crate) fn run(&self, step: &'static str, part: Part, mut command: Command, input: &str) -> Result<(), Error> {
        command.stdin(Stdio::piped());
        let mut child = Child::start(part, command)?;
        child.write(input);
        loop {
            match child.exited() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Error::Step { step, status, log: self.logs.tail(part, TAIL_LINES) }),
                None if self.interrupt.is_set() => return Err(Error::Interrupted),
                None => thread::sleep(child::POLL),
            }
        }
    }

    /// What `DIR/env` says.
    pub(crate) fn env(&self) -> Env {
        let ports = &self.ports;
        let url = |port| format!("http://127.0.0.1:{port}");
        Env {
            base: url(ports.front),
            redis: format!("-h 127.0.0.1 -p {} -a {} --no-auth-warning", ports.redis, self.secrets.redis.value),
            postgres: format!("postgres://users:{}@127.0.0.1:{}/users", self.secrets.users.value, ports.postgres),
            auth_api: url(ports.auth_api),
            media_server: url(ports.media_server),
        }
    }
}

impl Programs {
    fn find(options: &Options) -> Result<Self, Error> {
        let built = |name: &str| {
            let path = options.binaries.join(name);
            // Absolute: the children have working directories of their own.
            path.canonicalize().map_err(|_| Error::NoProgram(path.display().to_string()))
        };
        Ok(Self {
            postgres: programs::postgres(&options.data.join("postgres"))?,
            redis: programs::find("redis-server")?,
            nginx: programs::find("nginx")?,
            auth_api: built("auth-api")?,
            media_server: built("media-server")?,
        })
    }
}

/// The kernel ends the children of a runner that was killed, which takes Postgres a moment.
fn wait_for_the_last_run(data: &DataDir) -> Result<(), Error> {
    let deadline = Instant::now() + LEAVING;
    while child::any_lives_in(data.path()) {
        if Instant::now() > deadline {
            return Err(Error::StillInUse(Path::to_owned(data.path())));
        }
        thread::sleep(child::POLL);
    }
    Ok(())
}
