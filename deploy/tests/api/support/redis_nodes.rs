//! Redis servers of a test's own, and redis-cli for them.

use std::process::Command;
use std::time::Duration;

use deploy::RedisServer;

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

    /// Starts a server with a password on a free port, and these lines of redis.conf beside.
    pub async fn start(settings: &str) -> Self {
        let port = RedisServer::free_port().unwrap();
        let password = Self::PASSWORD;
        let own = format!("port {port}\nrequirepass \"{password}\"\nmasterauth \"{password}\"\nsave \"\"\n");
        let cli = ["-p", &port.to_string(), "-a", password, "--no-auth-warning"];
        Self::ready(&format!("{own}{settings}\n"), &[], port, &cli).await
    }

    /// One that speaks TLS only.
    pub async fn start_tls(settings: &str, cli: &[&str]) -> Self {
        let port = RedisServer::free_port().unwrap();
        let password = Self::PASSWORD;
        let own = format!("port 0\ntls-port {port}\nrequirepass \"{password}\"\nsave \"\"\n");
        let port_text = port.to_string();
        let cli = [&["-p", &port_text, "-a", password, "--no-auth-warning", "--tls"], cli].concat();
        Self::ready(&format!("{own}{settings}\n"), &[], port, &cli).await
    }

    /// A Sentinel of this master.
    pub async fn start_sentinel(master: &Self, name: &str, settings: &str) -> Self {
        let port = RedisServer::free_port().unwrap();
        let (password, master) = (Self::PASSWORD, master.port);
        let own = format!(
            "port {port}\nsentinel monitor {name} 127.0.0.1 {master} 1\nsentinel auth-pass {name} \"{password}\"\n"
        );
        Self::ready(&format!("{own}{settings}\n"), &["--sentinel"], port, &["-p", &port.to_string()]).await
    }

    async fn ready(settings: &str, arguments: &[&str], port: u16, cli: &[&str]) -> Self {
        let server = RedisServer::start(&format!("bind 127.0.0.1\n{settings}"), arguments).unwrap();
        let node = Self { server, port, cli: cli.iter().map(ToString::to_string).collect() };
        until("a Redis starts", READY_WITHIN, async || node.ask(&["PING"]) == "PONG").await;
        node
    }

    /// What redis-cli prints; an error too.
    pub fn ask(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").args(&self.cli).args(words).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
