//! The resolved configuration of a stack: everything that is needed to start a service.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use shared::settings::Settings;
use tokio::time::Instant;

use crate::account::Account;
use crate::data_dir::DataDir;
use crate::env::Env;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::logs::Logs;
use crate::options::Options;
use crate::ports::{Ports, Reserved};
use crate::process::{self, Process};
use crate::programs;
use crate::secrets::Secrets;
use crate::service::Service;

/// Log lines in the error message of a failed service.
pub(crate) const TAIL_LINES: usize = 15;

/// Timeout for the processes of a killed runner to end.
const ORPHANS_END_WITHIN: Duration = Duration::from_secs(10);

/// The resolved configuration of a stack, and what it holds: the locked data directory and the reserved ports.
#[derive(Debug)]
pub(crate) struct StackConfig {
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

/// Paths of the programs to run.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Directory of the Postgres programs.
    pub(crate) postgres: PathBuf,
    pub(crate) redis: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) auth_api: PathBuf,
    pub(crate) media_server: PathBuf,
}

impl StackConfig {
    /// Locks the data directory and reserves ports; starts nothing.
    pub(crate) fn resolve(options: Options) -> Result<Self, Error> {
        let programs = Programs::find(&options)?;
        let mut account = Account::choose(&options.data)?;
        let data = DataDir::open(&options.data, &account)?;
        account.ensure_access(data.path(), &[&programs.auth_api, &programs.media_server])?;
        let secrets = Secrets::open(&data, &account)?;
        wait_for_orphans(&data)?;
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

    /// Returns a setting of the services; empty if it is not set.
    pub(crate) fn setting(&self, name: &'static str) -> String {
        let own = self.environment.iter().rev().find(|(own, _)| own == name);
        own.map_or_else(|| Settings::from_environment().text(name, "", ""), |(_, value)| value.clone())
    }

    /// Returns the command of a service's server: runs as the stack's account in `DIR/directory`, writes to its log.
    pub(crate) fn server(
        &self,
        service: Service,
        program: impl AsRef<OsStr>,
        directory: &str,
    ) -> Result<Command, Error> {
        self.command(service, program, directory, service.orphan_signal())
    }

    /// Returns a command that ends by itself, for [`StackConfig::run`].
    pub(crate) fn step(&self, service: Service, program: impl AsRef<OsStr>, directory: &str) -> Result<Command, Error> {
        // KILL: initdb would complete its work on any other signal.
        self.command(service, program, directory, "KILL")
    }

    fn command(
        &self,
        service: Service,
        program: impl AsRef<OsStr>,
        directory: &str,
        orphan_signal: &str,
    ) -> Result<Command, Error> {
        let mut command = self.account.command(program, orphan_signal);
        command.current_dir(self.data.join(directory));
        self.logs.attach(service, &mut command, &self.account)?;
        Ok(command)
    }

    /// Runs a command until it ends, with `input` as its standard input.
    pub(crate) fn run(
        &self,
        step: &'static str,
        service: Service,
        mut command: Command,
        input: &str,
    ) -> Result<(), Error> {
        command.stdin(Stdio::piped());
        let mut child = Process::start(service.name(), command)?;
        child.write(input);
        loop {
            match child.exited() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Error::Step { step, status, log: self.logs.tail(service, TAIL_LINES) }),
                None if self.interrupt.is_set() => return Err(Error::Interrupted),
                None => thread::sleep(process::POLL),
            }
        }
    }

    /// Returns the content of `DIR/env`.
    pub(crate) fn env(&self) -> Env {
        let ports = &self.ports;
        let url = |port| format!("http://127.0.0.1:{port}");
        Env {
            base: url(ports.nginx),
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
            // Absolute: children have other working directories.
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

/// Waits for the children of a killed runner, which the kernel signals; Postgres takes a moment to end.
fn wait_for_orphans(data: &DataDir) -> Result<(), Error> {
    let deadline = Instant::now() + ORPHANS_END_WITHIN;
    while process::any_runs_in(data.path()) {
        if Instant::now() > deadline {
            return Err(Error::StillInUse(Path::to_owned(data.path())));
        }
        thread::sleep(process::POLL);
    }
    Ok(())
}
