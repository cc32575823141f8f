//! Redis: append-only file, no eviction, with a password.

use std::io::{Read as _, Write as _};
use std::process::Command;

use crate::config::StackConfig;
use crate::data_dir::write_private;
use crate::error::Error;
use crate::http::connect;
use crate::service::Service;

/// Writes `redis.conf` and returns the command of the server.
pub(crate) fn command(config: &StackConfig) -> Result<Command, Error> {
    let file = config.data.join("redis/redis.conf");
    // In a file: command-line arguments are visible to every account.
    write_private(&file, &configuration(config), Some(&config.account))?;
    let mut command = config.server(Service::Redis, &config.programs.redis, "redis")?;
    command.arg("redis.conf");
    Ok(command)
}

/// Returns whether Redis responds to PING, which it does once its data is loaded.
pub(crate) fn is_ready(config: &StackConfig) -> bool {
    let ping = || {
        let mut stream = connect(config.ports.redis)?;
        write!(stream, "AUTH {}\r\nPING\r\n", config.secrets.redis.value)?;
        let mut reply = [0; 12];
        stream.read_exact(&mut reply)?;
        Ok::<_, std::io::Error>(&reply == b"+OK\r\n+PONG\r\n")
    };
    ping().unwrap_or(false)
}

fn configuration(config: &StackConfig) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir .\nappendonly yes\nsave \"\"\nmaxmemory-policy noeviction\n",
        port = config.ports.redis,
        password = config.secrets.redis.value,
    )
}
