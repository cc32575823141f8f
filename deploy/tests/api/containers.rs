//! Properties of the containers only: network isolation, contents of images, scaling, checks of settings.
//!
//! Ignored unless run by `deploy/test-containers`, one after the other, as they stop and scale the stack that it starts. It
//! passes the compose command in `COMPOSE` and the name of the stack in `COMPOSE_PROJECT_NAME`.

mod backup;
mod checks;
mod connections;
mod isolation;
mod replicas;
mod schema;
mod settings;
mod stores;

use std::process::{Command, Output};
use std::time::Duration;

use shared::settings::Settings;

use crate::support::wait_until;

/// The staleness bound of caches, and of the replicas that nginx knows.
const STALENESS_MAX: Duration = Duration::from_secs(2);

/// The services that keep running.
const SERVICES: [&str; 5] = ["postgres", "redis", "auth-api", "media-server", "nginx"];

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn setting(name: &'static str) -> String {
    let value = Settings::from_environment().text(name, "", "");
    assert!(!value.is_empty(), "{name} is not set: run deploy/test-containers");
    value
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().unwrap()
}

fn compose(arguments: &[&str]) -> Output {
    compose_with(&[], arguments)
}

/// Runs compose with these settings.
fn compose_with(settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    let command = setting("COMPOSE");
    let mut words = command.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(arguments).envs(settings.iter().copied()).current_dir(ROOT).output().unwrap()
}

/// Runs a script of deploy/ with these settings.
fn script(settings: &[(&str, &str)], name: &str, arguments: &[&str]) -> Output {
    Command::new(format!("{ROOT}/deploy/{name}")).args(arguments).envs(settings.iter().copied()).output().unwrap()
}

/// The output of a command, which must have succeeded.
#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The running containers of a service.
fn containers(service: &str) -> Vec<String> {
    listed(&["ps", "--quiet"], &[&format!("label=com.docker.compose.service={service}")])
}

/// Lists containers of the stack.
fn listed(command: &[&str], filters: &[&str]) -> Vec<String> {
    let own = format!("label=com.docker.compose.project={}", setting("COMPOSE_PROJECT_NAME"));
    let mut arguments = command.to_vec();
    for filter in filters.iter().chain(&[own.as_str()]) {
        arguments.extend(["--filter", filter]);
    }
    printed(&docker(&arguments)).lines().map(ToOwned::to_owned).collect()
}

fn container(service: &str) -> String {
    containers(service).first().cloned().expect("the service runs")
}

fn inspect(container: &str, format: &str) -> String {
    printed(&docker(&["inspect", "--format", format, container]))
}

fn inside(container: &str, command: &str) -> Output {
    docker(&["exec", container, "sh", "-c", command])
}

/// The addresses of a container on all its networks.
fn addresses(container: &str) -> Vec<String> {
    let all = inspect(container, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}");
    all.split_whitespace().map(ToOwned::to_owned).collect()
}

async fn wait_until_healthy(service: &str) {
    let is_healthy = |container: &String| inspect(container, "{{.State.Health.Status}}") == "healthy";
    let are_healthy = async || containers(service).iter().all(is_healthy);
    wait_until(&format!("{service} is healthy"), Duration::from_mins(1), are_healthy).await;
}
