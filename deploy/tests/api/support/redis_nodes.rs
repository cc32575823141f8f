//! Redis servers and Sentinels of a test, and redis-cli for them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use deploy::RedisServer;

use super::{Certificates, wait_until};

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A Redis server or Sentinel with a directory of its own. Killed when dropped.
pub struct RedisNode {
    pub server: RedisServer,
    pub port: u16,
    cli: Vec<String>,
}

impl RedisNode {
    /// The password of every node.
    pub const PASSWORD: &str = "a password of the tests";

    /// Starts a server with a password on a free port, with additional lines of redis.conf. With certificates it accepts
    /// TLS only.
    pub async fn start(tls: Option<&Certificates>, settings: &str) -> Self {
        let password = Self::PASSWORD;
        let auth = format!("requirepass \"{password}\"\nmasterauth \"{password}\"\nsave \"\"\n{settings}\n");
        Self::ready(tls, &auth, &[], &["-a", password, "--no-auth-warning"]).await
    }

    /// Starts a Sentinel of this master.
    pub async fn start_sentinel(tls: Option<&Certificates>, master: &Self, name: &str, settings: &str) -> Self {
        let (password, master) = (Self::PASSWORD, master.port);
        let monitor = format!("sentinel monitor {name} 127.0.0.1 {master} 1\n");
        let auth = format!("sentinel auth-pass {name} \"{password}\"\n");
        Self::ready(tls, &format!("{monitor}{auth}{settings}\n"), &["--sentinel"], &[]).await
    }

    async fn ready(tls: Option<&Certificates>, settings: &str, arguments: &[&str], cli: &[&str]) -> Self {
        let port = deploy::ports::free().unwrap();
        let mut cli: Vec<String> = cli.iter().map(ToString::to_string).collect();
        cli.extend(["-p".to_owned(), port.to_string()]);
        let listen = match tls {
            None => format!("port {port}\n"),
            Some(certificates) => {
                cli.extend(["--tls".to_owned(), "--cacert".to_owned(), certificates.ca()]);
                format!("port 0\ntls-port {port}\n{}", certificates.redis_conf())
            }
        };
        let server = RedisServer::start(&format!("bind 127.0.0.1\n{listen}{settings}"), arguments).unwrap();
        let node = Self { server, port, cli };
        wait_until("Redis is ready", READY_WITHIN, async || node.run(&["PING"]) == "PONG").await;
        node
    }

    /// Returns what redis-cli prints, error replies included.
    pub fn run(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").args(&self.cli).args(words).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs commands, one a line, on one connection.
    pub fn run_lines(&self, lines: &str) {
        let mut cli = Command::new("redis-cli").args(&self.cli).stdin(Stdio::piped()).spawn().expect("redis-cli runs");
        cli.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(cli.wait().unwrap().success());
    }

    pub fn exists(&self, key: &str) -> bool {
        self.run(&["EXISTS", key]) == "1"
    }

    /// Whether the only replica has acknowledged all writes, which it does once a second.
    pub fn is_replicated(&self) -> bool {
        let replication = self.run(&["INFO", "replication"]);
        offset(&replication, "master_repl_offset:") == offset(&replication, ",offset=")
    }

    /// Whether this replica has received all writes of `master`.
    pub fn has_all_of(&self, master: &Self) -> bool {
        let written = |node: &Self| offset(&node.run(&["INFO", "replication"]), "master_repl_offset:").unwrap();
        written(self) == written(master)
    }
}

/// The number after `name`.
fn offset(replication: &str, name: &str) -> Option<u64> {
    replication.split(name).nth(1)?.split([',', '\r', '\n']).next()?.parse().ok()
}
