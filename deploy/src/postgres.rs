//! Postgres: made once, then started on its port.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::part::Part;
use crate::plan::Plan;

/// `DIR/postgres` is complete if it exists: it is made beside and renamed.
const DATA: &str = "postgres";
const UNFINISHED: &str = "postgres.new";

/// Durable as in production. No socket file: a path in `DIR` may be longer than the 107 bytes a socket's may have. Terse,
/// because the details of an error quote rows, and rows hold e-mail addresses.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "logging_collector=off",
    "log_error_verbosity=terse",
];

/// Makes the database on the first start; on a later one, clears what a killed runner left.
pub(crate) fn prepare(plan: &Plan) -> Result<(), Error> {
    let data = plan.data.join(DATA);
    if data.exists() {
        // Nobody lives in `data` any more (`Plan::make`), and the pid in it may by now be another process's.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        return Ok(());
    }
    (plan.progress)("making the database");
    let unfinished = plan.data.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::file(&unfinished))?;
    }
    plan.run("initdb", Part::Postgres, initdb(plan)?, "")?;
    plan.run("making the role and the database", Part::Postgres, single_user(plan)?, &statements(plan))?;
    fs::rename(&unfinished, &data).map_err(Error::file(&data))?;
    let parent = plan.data.path();
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(Error::file(parent))
}

/// The server.
pub(crate) fn command(plan: &Plan) -> Result<Command, Error> {
    let mut command = plan.server(Part::Postgres, plan.programs.postgres.join("postgres"), DATA)?;
    command.arg("-D").arg(plan.data.join(DATA)).args(["-p", &plan.ports.postgres.to_string()]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    Ok(command)
}

/// Whether it takes connections.
pub(crate) fn is_ready(plan: &Plan) -> bool {
    Command::new(plan.programs.postgres.join("pg_isready"))
        .args(["--quiet", "--host=127.0.0.1", "--port", &plan.ports.postgres.to_string()])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn initdb(plan: &Plan) -> Result<Command, Error> {
    let mut command = plan.step(Part::Postgres, plan.programs.postgres.join("initdb"), "")?;
    command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    command.arg("--pwfile").arg(&plan.secrets.postgres.path);
    command.arg("-D").arg(plan.data.join(UNFINISHED));
    if plan.scratch {
        command.arg("--no-sync");
    }
    Ok(command)
}

/// A server that serves its standard input and nobody else.
fn single_user(plan: &Plan) -> Result<Command, Error> {
    let mut command = plan.step(Part::Postgres, plan.programs.postgres.join("postgres"), "")?;
    command.arg("--single").arg("-D").arg(plan.data.join(UNFINISHED)).args(["-c", "exit_on_error=true", "postgres"]);
    Ok(command)
}

/// One a line. The password is hexadecimal: nothing in it needs quoting.
fn statements(plan: &Plan) -> String {
    let password = &plan.secrets.users.value;
    format!("create role users login password '{password}'\ncreate database users owner users\n")
}
