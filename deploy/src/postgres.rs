//! Postgres: initialized on the first start.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::config::StackConfig;
use crate::error::Error;
use crate::service::Service;

/// `DIR/postgres` is complete if it exists: it is created as `postgres.new` and renamed.
const DATA: &str = "postgres";
const UNFINISHED: &str = "postgres.new";

/// Durable as in production. No socket file: its path in `DIR` may exceed the limit of 107 bytes. Terse, because details of
/// an error quote rows, which hold e-mail addresses.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "logging_collector=off",
    "log_error_verbosity=terse",
];

/// Initializes the database on the first start; on later ones removes a stale lock file.
pub(crate) fn prepare(config: &StackConfig) -> Result<(), Error> {
    let data = config.data.join(DATA);
    if data.exists() {
        // No server uses `data` any more (`StackConfig::resolve`), and the pid in it may by now be another process's.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        return Ok(());
    }
    (config.progress)("initializing the database");
    let unfinished = config.data.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::file(&unfinished))?;
    }
    config.run("initdb", Service::Postgres, initdb(config)?, "")?;
    config.run("creating the role and the database", Service::Postgres, single_user(config)?, &statements(config))?;
    fs::rename(&unfinished, &data).map_err(Error::file(&data))?;
    let parent = config.data.path();
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(Error::file(parent))
}

/// The server.
pub(crate) fn command(config: &StackConfig) -> Result<Command, Error> {
    let mut command = config.server(Service::Postgres, config.programs.postgres.join("postgres"), DATA)?;
    command.arg("-D").arg(config.data.join(DATA)).args(["-p", &config.ports.postgres.to_string()]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    Ok(command)
}

/// Whether it takes connections.
pub(crate) fn is_ready(config: &StackConfig) -> bool {
    Command::new(config.programs.postgres.join("pg_isready"))
        .args(["--quiet", "--host=127.0.0.1", "--port", &config.ports.postgres.to_string()])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn initdb(config: &StackConfig) -> Result<Command, Error> {
    let mut command = config.step(Service::Postgres, config.programs.postgres.join("initdb"), "")?;
    command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    command.arg("--pwfile").arg(&config.secrets.postgres.path);
    command.arg("-D").arg(config.data.join(UNFINISHED));
    if config.scratch {
        command.arg("--no-sync");
    }
    Ok(command)
}

/// A server in single-user mode, which reads statements from standard input.
fn single_user(config: &StackConfig) -> Result<Command, Error> {
    let mut command = config.step(Service::Postgres, config.programs.postgres.join("postgres"), "")?;
    command.arg("--single").arg("-D").arg(config.data.join(UNFINISHED)).args(["-c", "exit_on_error=true", "postgres"]);
    Ok(command)
}

/// One statement per line. The password is hexadecimal and needs no quoting.
fn statements(config: &StackConfig) -> String {
    let password = &config.secrets.users.value;
    format!("create role users login password '{password}'\ncreate database users owner users\n")
}
