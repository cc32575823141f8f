//! What only containers show: who reaches whom, what an image holds, replicas that come and go, settings that are wrong.
//!
//! Ignored but in `deploy/test-containers`, which starts the stack that these take to pieces, one after the other. It
//! names docker-compose in `COMPOSE` and the stack in `COMPOSE_PROJECT_NAME`.

mod checks;
mod connections;
mod isolation;
mod replicas;
mod stores;

use std::process::{Command, Output};
use std::time::Duration;

use shared::settings::Settings;
use tokio::time::{Instant, sleep};

/// What nginx and the replicas may take to know of each other.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// The services that stay.
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
    let command = setting("COMPOSE");
    let mut words = command.split(' ');
    Command::new(words.next().unwrap()).args(words).args(arguments).current_dir(ROOT).output().unwrap()
}

/// What a command that must succeed has printed.
#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The running containers of a service.
fn containers(service: &str) -> Vec<String> {
    listed(&["ps", "--quiet"], &[&format!("label=com.docker.compose.service={service}")])
}

/// Those of the whole stack that `docker ps` lists.
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

/// A container's address on each of its networks.
fn addresses(container: &str) -> Vec<String> {
    let all = inspect(container, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}");
    all.split_whitespace().map(ToOwned::to_owned).collect()
}

async fn is_healthy(service: &str) {
    let until = Instant::now() + Duration::from_mins(1);
    let is_well = |container: &String| inspect(container, "{{.State.Health.Status}}") == "healthy";
    while !containers(service).iter().all(is_well) {
        assert!(Instant::now() < until, "{service} is not healthy");
        sleep(Duration::from_millis(200)).await;
    }
}
