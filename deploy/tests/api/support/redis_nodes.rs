//! Redis servers of a test's own, and redis-cli for them.

use std::process::Command;
use std::time::Duration;

use deploy::RedisServer;

use super::Certificates;
use super::faults::until;

/// How long a server may take to start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A server and how to ask it.
pub struct RedisNode {
    pub server: RedisServer,
    pub port: u16,
    cli: Vec<String>,
}

impl RedisNode {
    /// The password of every node.
    pub const PASSWORD: &str = "a password of the tests";

    /// Starts a server with a password on a free port, and these lines of redis.conf beside. With certificates it speaks
    /// TLS and nothing else.
    pub async fn start(tls: Option<&Certificates>, settings: &str) -> Self {
        let password = Self::PASSWORD;
        let own = format!("requirepass \"{password}\"\nmasterauth \"{password}\"\nsave \"\"\n{settings}\n");
        Self::ready(tls, &own, &[], &["-a", password, "--no-auth-warning"]).await
    }

    /// A Sentinel of this master.
    pub async fn start_sentinel(tls: Option<&Certificates>, master: &Self, name: &str, settings: &str) -> Self {
        let (password, master) = (Self::PASSWORD, master.port);
        let own = format!("sentinel monitor {name} 127.0.0.1 {master} 1\nsentinel auth-pass {name} \"{password}\"\n");
        Self::ready(tls, &format!("{own}{settings}\n"), &["--sentinel"], &[]).await
    }

    async fn ready(tls: Option<&Certificates>, settings: &str, arguments: &[&str], cli: &[&str]) -> Self {
        let port = deploy::ports::free().unwrap();
        let mut cli: Vec<String> = cli.iter().map(ToString::to_string).collect();
        cli.extend(["-p".to_owned(), port.to_string()]);
        let listen = match tls {
            None => format!("port {port}\n"),
            Some(certificates) => {
                cli.extend(["--tls".to_owned(), "--cacert".to_owned(), certificates.authority()]);
                format!("port 0\ntls-port {port}\n{}", certificates.redis_conf())
            }
        };
        let server = RedisServer::start(&format!("bind 127.0.0.1\n{listen}{settings}"), arguments).unwrap();
        let node = Self { server, port, cli };
        until("a Redis starts", READY_WITHIN, async || node.ask(&["PING"]) == "PONG").await;
        node
    }

    /// What redis-cli prints; an error too.
    pub fn ask(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").args(&self.cli).args(words).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether its one replica has said, which it does once a second, that it has all that was written.
    pub fn is_replicated(&self) -> bool {
        let replication = self.ask(&["INFO", "replication"]);
        offset(&replication, "master_repl_offset:") == offset(&replication, ",offset=")
    }

    /// Whether it has all that was written to `master`, whose replica it is.
    pub fn has_all_of(&self, master: &Self) -> bool {
        let written = |node: &Self| offset(&node.ask(&["INFO", "replication"]), "master_repl_offset:").unwrap();
        written(self) == written(master)
    }
}

/// The number that follows `name`.
fn offset(replication: &str, name: &str) -> Option<u64> {
    replication.split(name).nth(1)?.split([',', '\r', '\n']).next()?.parse().ok()
}
