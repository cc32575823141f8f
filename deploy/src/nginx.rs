//! nginx: the project's own `nginx.conf`, with the files that it includes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::child::{self, Child};
use crate::data_dir::make_dir;
use crate::error::Error;
use crate::http;
use crate::options::project;
use crate::part::Part;
use crate::plan::{Plan, TAIL_LINES};
use crate::ports::{self, Ports};

/// How long a second front may take until it answers: it waits for nobody.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A front to be started: what differs between the stack's own and a second one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    /// Its directory, `DIR/NAME`.
    pub(crate) directory: &'a str,
    /// What it listens on, on 127.0.0.1.
    pub(crate) port: u16,
    /// Where auth-api is.
    pub(crate) auth_api: SocketAddr,
    /// Where media-server is.
    pub(crate) media_server: SocketAddr,
}

impl Site<'static> {
    /// The stack's own.
    pub(crate) fn own(plan: &Plan) -> Self {
        let Ports { front, auth_api, media_server, .. } = plan.ports;
        Self { directory: "nginx", port: front, auth_api: local(auth_api), media_server: local(media_server) }
    }
}

/// A second nginx with the same `nginx.conf`, before servers of the caller's. Dropping it kills it.
#[derive(Debug)]
pub struct Front {
    base: String,
    _child: Child,
}

impl Front {
    /// Starts it on a free port with its files in `DIR/directory`, and returns when it answers.
    pub(crate) fn start(
        plan: &Plan,
        directory: &str,
        auth_api: SocketAddr,
        media_server: SocketAddr,
    ) -> Result<Self, Error> {
        let port = ports::any_free()?;
        let path = plan.data.join(directory);
        if !path.exists() {
            make_dir(&path, &plan.account)?;
        }
        let site = Site { directory, port, auth_api, media_server };
        let child = Child::start(Part::Nginx, command(plan, site)?)?;
        let front = Self { base: format!("http://{}", local(port)), _child: child };
        let deadline = Instant::now() + READY_WITHIN;
        while !answers(port) {
            if Instant::now() > deadline {
                let log = plan.logs.tail(Part::Nginx, TAIL_LINES);
                return Err(Error::NotReady { part: Part::Nginx, seconds: READY_WITHIN.as_secs(), log });
            }
            thread::sleep(child::POLL);
        }
        Ok(front)
    }

    /// Where it answers, as in `http://127.0.0.1:12345`.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// The server that is `site`.
pub(crate) fn command(plan: &Plan, site: Site<'_>) -> Result<Command, Error> {
    let prefix = plan.data.join(site.directory);
    let routes = project().join("nginx.conf");
    let text = fs::read_to_string(&routes).map_err(Error::file(&routes))?;
    write(plan, &prefix.join("nginx.conf"), &text)?;
    write(plan, &prefix.join("upstreams.conf"), &upstreams(site))?;
    write_settings(plan, site)?;
    let mut command = plan.server(Part::Nginx, &plan.programs.nginx, site.directory)?;
    // With its slash: nginx joins by putting one behind the other.
    command.arg("-p").arg(prefix.join("")).args(["-c", "nginx.conf", "-e", "stderr"]);
    command.args(["-g", "daemon off; pid nginx.pid;"]);
    Ok(command)
}

/// Writes the files of settings that `nginx.conf` includes, as the image does at its start.
fn write_settings(plan: &Plan, site: Site<'_>) -> Result<(), Error> {
    let script = project().join("deploy/nginx-settings");
    let text = fs::read_to_string(&script).map_err(Error::file(&script))?;
    let mut command = plan.step(Part::Nginx, "sh", site.directory)?;
    command.args(["-s", "--", "."]).envs(plan.environment.iter().cloned());
    command.env("LISTEN", local(site.port).to_string()).env("NGINX", &plan.programs.nginx);
    plan.run("the settings of nginx", Part::Nginx, command, &text)
}

/// Whether it answers on `port`, whatever is behind it.
pub(crate) fn answers(port: u16) -> bool {
    http::status(port, "/healthz") == Some(404)
}

fn upstreams(site: Site<'_>) -> String {
    let upstream = |name: &str, server: SocketAddr| {
        format!(
            "upstream {name} {{\n    server {server};\n    keepalive 128;\n    keepalive_requests 100000;\n    \
             keepalive_timeout 2s;\n}}\n"
        )
    };
    upstream("auth_api", site.auth_api) + &upstream("media_server", site.media_server)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn write(plan: &Plan, path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file(path))?;
    plan.account.own(path)
}
