//! nginx: the project's own `nginx.conf`, beside the two files that say where the processes are.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::http;
use crate::options::project;
use crate::part::Part;
use crate::plan::Plan;

/// The front.
pub(crate) fn command(plan: &Plan) -> Result<Command, Error> {
    let prefix = plan.data.join("nginx");
    let routes = project().join("nginx.conf");
    let text = fs::read_to_string(&routes).map_err(Error::file(&routes))?;
    write(plan, &prefix.join("nginx.conf"), &text)?;
    write(plan, &prefix.join("upstreams.conf"), &upstreams(plan))?;
    write(plan, &prefix.join("listen.conf"), &format!("listen 127.0.0.1:{};\n", plan.ports.front))?;
    let mut command = plan.server(Part::Nginx, &plan.programs.nginx, "nginx")?;
    // With its slash: nginx joins by putting one behind the other.
    command.arg("-p").arg(prefix.join("")).args(["-c", "nginx.conf", "-e", "stderr"]);
    command.args(["-g", "daemon off; pid nginx.pid;"]);
    Ok(command)
}

/// Whether it answers, whatever is behind it.
pub(crate) fn is_ready(plan: &Plan) -> bool {
    http::status(plan.ports.front, "/healthz") == Some(404)
}

fn upstreams(plan: &Plan) -> String {
    let upstream = |name: &str, port: u16| {
        format!(
            "upstream {name} {{\n    server 127.0.0.1:{port};\n    keepalive 128;\n    keepalive_requests 100000;\n    \
             keepalive_timeout 2s;\n}}\n"
        )
    };
    upstream("auth_api", plan.ports.auth_api) + &upstream("media_server", plan.ports.media_server)
}

fn write(plan: &Plan, path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file(path))?;
    plan.account.own(path)
}
