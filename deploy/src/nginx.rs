//! nginx: the project's `nginx.conf`, with the files that it includes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{StackConfig, TAIL_LINES};
use crate::data_dir::make_dir;
use crate::error::Error;
use crate::http;
use crate::options::project;
use crate::ports::{self, Ports};
use crate::process::{self, Process};
use crate::service::Service;

/// Timeout of a gateway's start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// An nginx to start: what differs between the stack's nginx and a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NginxInstance<'a> {
    /// Name of its directory in `DIR`.
    pub(crate) directory: &'a str,
    pub(crate) port: u16,
    pub(crate) auth_api: SocketAddr,
    pub(crate) media_server: SocketAddr,
}

impl NginxInstance<'static> {
    /// Returns the stack's nginx.
    pub(crate) fn of_stack(config: &StackConfig) -> Self {
        let Ports { nginx, auth_api, media_server, .. } = config.ports;
        Self { directory: "nginx", port: nginx, auth_api: local(auth_api), media_server: local(media_server) }
    }
}

/// A second nginx with the same `nginx.conf` and other upstreams. Dropping it kills it.
#[derive(Debug)]
pub struct Gateway {
    base: String,
    _process: Process,
}

impl Gateway {
    /// Starts nginx on a free port with its files in `DIR/directory`, and waits until it responds.
    pub(crate) fn start(
        config: &StackConfig,
        directory: &str,
        auth_api: SocketAddr,
        media_server: SocketAddr,
    ) -> Result<Self, Error> {
        let port = ports::free()?;
        let path = config.data.join(directory);
        if !path.exists() {
            make_dir(&path, &config.account)?;
        }
        let instance = NginxInstance { directory, port, auth_api, media_server };
        let process = Process::start(Service::Nginx.name(), command(config, instance)?)?;
        let gateway = Self { base: format!("http://{}", local(port)), _process: process };
        let deadline = Instant::now() + READY_WITHIN;
        while !responds(config, port) {
            if Instant::now() > deadline {
                let log = config.logs.tail(Service::Nginx, TAIL_LINES);
                return Err(Error::NotReady { service: Service::Nginx, seconds: READY_WITHIN.as_secs(), log });
            }
            thread::sleep(process::POLL);
        }
        Ok(gateway)
    }

    /// Returns the base URL, as in `http://127.0.0.1:12345`.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// Writes the configuration of an instance and returns its command.
pub(crate) fn command(config: &StackConfig, instance: NginxInstance<'_>) -> Result<Command, Error> {
    let prefix = config.data.join(instance.directory);
    let routes = project().join("nginx.conf");
    let text = fs::read_to_string(&routes).map_err(Error::file(&routes))?;
    write(config, &prefix.join("nginx.conf"), &text)?;
    write(config, &prefix.join("upstreams.conf"), &upstreams(instance))?;
    write_settings(config, instance)?;
    let mut command = config.server(Service::Nginx, &config.programs.nginx, instance.directory)?;
    // With a trailing slash: nginx concatenates prefix and name.
    command.arg("-p").arg(prefix.join("")).args(["-c", "nginx.conf", "-e", "stderr"]);
    command.args(["-g", "daemon off; pid nginx.pid;"]);
    Ok(command)
}

/// Writes the files that `nginx.conf` includes, as the container does when it starts.
fn write_settings(config: &StackConfig, instance: NginxInstance<'_>) -> Result<(), Error> {
    let script = project().join("deploy/nginx-settings");
    let text = fs::read_to_string(&script).map_err(Error::file(&script))?;
    let mut command = config.step(Service::Nginx, "sh", instance.directory)?;
    command.args(["-s", "--", "."]).envs(config.environment.iter().cloned());
    let port = instance.port;
    command.env("LISTEN", format!("127.0.0.1:{port},[::1]:{port}")).env("NGINX", &config.programs.nginx);
    config.run("nginx-settings", Service::Nginx, command, &text)
}

/// Returns whether nginx responds on `port`, independently of its upstreams.
pub(crate) fn responds(config: &StackConfig, port: u16) -> bool {
    status(config, port, "/healthz") == Some(404)
}

/// Returns the status of `GET path` through nginx.
pub(crate) fn status(config: &StackConfig, port: u16, path: &str) -> Option<u16> {
    // A health check of the proxy itself.
    let preface = if config.setting("PROXY_PROTOCOL") == "true" { "PROXY UNKNOWN\r\n" } else { "" };
    http::status_after(preface, port, path)
}

fn upstreams(instance: NginxInstance<'_>) -> String {
    let upstream = |name: &str, server: SocketAddr| {
        format!(
            "upstream {name} {{\n    server {server};\n    keepalive 128;\n    keepalive_requests 100000;\n    \
             keepalive_timeout 2s;\n}}\n"
        )
    };
    upstream("auth_api", instance.auth_api) + &upstream("media_server", instance.media_server)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn write(config: &StackConfig, path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file(path))?;
    config.account.own(path)
}
