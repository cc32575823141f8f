//! Redis: every write in a file, nothing evicted, behind a password.

use std::io::{Read as _, Write as _};
use std::process::Command;

use crate::data_dir::write_private;
use crate::error::Error;
use crate::http::connect;
use crate::part::Part;
use crate::plan::Plan;

/// The server.
pub(crate) fn command(plan: &Plan) -> Result<Command, Error> {
    let config = plan.data.join("redis/redis.conf");
    // Read from a file, since anybody can see a process's arguments.
    write_private(&config, &configuration(plan), Some(&plan.account))?;
    let mut command = plan.server(Part::Redis, &plan.programs.redis, "redis")?;
    command.arg("redis.conf");
    Ok(command)
}

/// Whether it answers, its data loaded.
pub(crate) fn is_ready(plan: &Plan) -> bool {
    let ping = || {
        let mut stream = connect(plan.ports.redis)?;
        write!(stream, "AUTH {}\r\nPING\r\n", plan.secrets.redis.value)?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(&answer == b"+OK\r\n+PONG\r\n")
    };
    ping().unwrap_or(false)
}

fn configuration(plan: &Plan) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir .\nappendonly yes\nsave \"\"\nmaxmemory-policy noeviction\n",
        port = plan.ports.redis,
        password = plan.secrets.redis.value,
    )
}
