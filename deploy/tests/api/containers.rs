//! What only containers show: who reaches whom, what an image holds, replicas that come and go, settings that are wrong.
//!
//! Ignored but in `deploy/test-containers`, which starts the stack that these take to pieces, one after the other. It
//! names docker-compose in `COMPOSE` and the stack in `COMPOSE_PROJECT_NAME`.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::json;
use shared::settings::Settings;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::{Api, PASSWORD, Person, jpeg, unique};

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

/// The one command of the README; what is not named falls back to one replica.
async fn scale(auth_api: usize, media_server: usize) {
    let (auth_api, media_server) = (format!("auth-api={auth_api}"), format!("media-server={media_server}"));
    printed(&compose(&["up", "-d", "--scale", &auth_api, "--scale", &media_server]));
    is_healthy("auth-api").await;
    is_healthy("media-server").await;
}

/// Requests without a pause, until it is ended.
struct Load {
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Load {
    fn new() -> Self {
        Self { ended: Arc::default(), clients: Vec::new() }
    }

    /// One more client, each of whose requests is to be answered with `status`.
    fn client(&mut self, what: &'static str, status: u16, request: impl Fn() -> RequestBuilder + Send + 'static) {
        let ended = Arc::clone(&self.ended);
        self.clients.push(tokio::spawn(async move {
            let (mut count, mut failures) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                count += 1;
                let answer = request().send().await;
                let failure = match answer {
                    Ok(answer) if answer.status() == status => {
                        answer.bytes().await.err().map(|error| error.to_string())
                    }
                    Ok(answer) => Some(format!("{} {:?}", answer.status(), answer.text().await)),
                    Err(error) => Some(format!("{error:?}")),
                };
                failures.extend(failure.map(|failure| format!("{what}: {failure}")));
            }
            (count, failures)
        }));
    }

    /// Somebody who reads an account, and somebody who reads a picture.
    async fn readers(&mut self) {
        let person = Person::with_picture(&Api::new(), &jpeg()).await;
        let picture = person.picture().await.unwrap();
        let reader = person.clone();
        self.client("me", 200, move || {
            reader.api.request("GET", "/api/user/me/").header("authorization", format!("JWT {}", reader.access))
        });
        self.client("picture", 200, move || person.api.request("GET", &picture));
    }

    /// Ends it, and prints what came of it.
    async fn end(self, what: &str) {
        self.ended.store(true, Ordering::Relaxed);
        let (mut count, mut failures) = (0, Vec::new());
        for client in self.clients {
            let (counted, failed) = client.await.unwrap();
            count += counted;
            failures.extend(failed);
        }
        println!("{what}: {} of {count} requests failed", failures.len());
        assert!(failures.is_empty() && count > 100, "{failures:#?}");
    }
}

#[test]
#[ignore = "deploy/test-containers"]
fn each_part_is_well_and_was_started_once() {
    let all = listed(&["ps", "--all", "--quiet"], &[]);
    assert!(all.len() > SERVICES.len(), "{all:?}");
    let state = "{{.RestartCount}} {{.State.OOMKilled}} {{.State.Status}} {{.State.ExitCode}}";
    for container in &all {
        let (name, state) = (inspect(container, "{{.Name}}"), inspect(container, state));
        assert!(matches!(state.as_str(), "0 false running 0" | "0 false exited 0"), "{name}: {state}");
    }
    for service in SERVICES {
        assert_eq!(inspect(&container(service), "{{.State.Health.Status}}"), "healthy", "{service}");
    }
}

#[test]
#[ignore = "deploy/test-containers"]
fn no_container_is_root_or_writes_to_its_root() {
    for service in SERVICES {
        let container = container(service);
        assert_ne!(printed(&inside(&container, "id -u")), "0", "{service}");
        // The service itself, and not only who is let in beside it.
        let status = printed(&inside(&container, "cat /proc/1/status"));
        assert!(!status.contains("\nUid:\t0\t"), "{service}: {status}");
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{service}: no {line:?} in {status}");
        }
        let written = inside(&container, "echo x >/written");
        assert!(String::from_utf8_lossy(&written.stderr).contains("Read-only file system"), "{service}: {written:?}");
    }
    for container in listed(&["ps", "--all", "--quiet"], &[]) {
        let rights = inspect(&container, "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}}");
        let user = rights.strip_prefix("true [ALL] ").unwrap_or_else(|| panic!("{rights}"));
        assert!(!matches!(user, "" | "0" | "0:0" | "root"), "{rights}");
    }
}

#[test]
#[ignore = "deploy/test-containers"]
fn nginx_reaches_delivery_and_nothing_else() {
    let nginx = container("nginx");
    let reaches = |host: &str, port: u16| {
        let connect = format!("exec 3<>/dev/tcp/{host}/{port}");
        docker(&["exec", &nginx, "timeout", "2", "bash", "-c", &connect]).status.success()
    };
    assert!(reaches("auth-api", 8000) && reaches("media-server", 8000));
    for (service, name, port) in
        [("postgres", "postgres", 5432), ("redis", "redis", 6379), ("media-server", "media-writing", 8001)]
    {
        let mut hosts = addresses(&container(service));
        assert!(!hosts.is_empty());
        hosts.extend([service.to_owned(), name.to_owned()]);
        for host in hosts {
            assert!(!reaches(&host, port), "nginx reaches {service} at {host}:{port}");
        }
    }
    // So that it is not for want of a listener.
    let auth_api = container("auth-api");
    assert!(docker(&["exec", &auth_api, "bash", "-c", "exec 3<>/dev/tcp/media-writing/8001"]).status.success());
}

#[test]
#[ignore = "deploy/test-containers"]
fn an_image_holds_no_secret_no_source_and_no_toolchain() {
    let mut secrets = Vec::new();
    for (service, files) in [
        ("auth-api", "/run/secrets/*/* /var/lib/auth-api/keys/*"),
        ("postgres", "/run/secrets/postgres/*"),
        ("redis", "/run/secrets/redis/password"),
    ] {
        let text = printed(&inside(&container(service), &format!("cat {files}")));
        // Each is a line of its own, in whatever file.
        secrets.extend(text.split_whitespace().filter(|word| word.len() >= 32).map(ToOwned::to_owned));
    }
    assert!(secrets.len() >= 5, "found {} secrets", secrets.len());
    for service in ["auth-api", "media-server"] {
        let container = container(service);
        let image = inspect(&container, "{{.Image}}");
        let holds = |text: &str| {
            let search = format!("docker history --no-trunc {image}; docker save {image}");
            let found = format!("({search}) | grep --count --text --fixed-strings -e '{text}'");
            Command::new("sh").args(["-c", &found]).output().unwrap().status.success()
        };
        assert!(holds("users-service:x:10001"), "{service}: the search finds nothing");
        for secret in &secrets {
            assert!(!holds(secret), "{service}: holds a secret");
        }
        let list = format!("docker export {container} | tar --list --file -");
        let files = printed(&Command::new("sh").args(["-c", &list]).output().unwrap());
        assert!(files.lines().any(|file| file == format!("usr/local/bin/{service}")));
        for file in files.lines() {
            let name = file.rsplit('/').next().unwrap();
            let is_known = matches!(name, "Cargo.toml" | "Cargo.lock" | "cargo" | "rustc" | "cc" | "gcc" | "ld" | "as");
            let is_source = [".rs", ".rlib", ".sql", ".lua"].iter().any(|end| name.ends_with(end));
            assert!(!is_known && !is_source && !file.contains(".git/"), "{service}: holds {file}");
        }
    }
}

/// Somebody signed in, whose session every replica of auth-api has seen.
async fn known_to(replicas: &[Api]) -> Person {
    let person = Person::new().await;
    for replica in replicas {
        replica.get_as("/api/user/me/", &person.access).await.expect_status(200);
    }
    person
}

/// Within two seconds nobody lets this session in, and the person signs in again.
async fn is_signed_out(person: &Person, replicas: &[Api]) {
    let since = Instant::now();
    for replica in replicas {
        while replica.get_as("/api/user/me/", &person.access).await.status == 200 {
            assert!(since.elapsed() < KNOWN_WITHIN, "a replica still lets it in");
            sleep(Duration::from_millis(20)).await;
        }
    }
    for replica in replicas {
        replica.get_as("/api/user/me/", &person.access).await.expect_unauthorized();
        replica.post_json("/api/user/refresh/", &json!({ "refresh": person.refresh })).await.expect_status(401);
    }
    Person::sign_in(&person.api, &person.email).await.me().await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_session_whose_key_is_deleted_is_over_on_every_replica() {
    scale(2, 1).await;
    let front = format!("{}_front", setting("COMPOSE_PROJECT_NAME"));
    let of_front = format!("{{{{(index .NetworkSettings.Networks \"{front}\").IPAddress}}}}");
    let replicas: Vec<Api> = containers("auth-api")
        .iter()
        .map(|replica| Api::at(&format!("http://{}:8000", inspect(replica, &of_front))))
        .collect();
    assert_eq!(replicas.len(), 2);
    let redis = |arguments: &[&str]| printed(&compose(&[&["exec", "-T", "redis"], arguments].concat()));

    let person = known_to(&replicas).await;
    assert_eq!(redis(&["redis-cli", "DEL", &person.session_key()]), "1");
    is_signed_out(&person, &replicas).await;

    let (person, other) = (known_to(&replicas).await, known_to(&replicas).await);
    let second = Person::sign_in(&person.api, &person.email).await;
    let of_one = format!("redis-cli --scan --pattern 'session:{{{}}}:*' | xargs redis-cli DEL", person.id);
    assert_eq!(redis(&["sh", "-c", &of_one]), "2");
    is_signed_out(&second, &replicas).await;
    is_signed_out(&person, &replicas).await;
    other.me().await.expect_status(200);

    let (person, other) = (known_to(&replicas).await, known_to(&replicas).await);
    assert_eq!(redis(&["redis-cli", "FLUSHDB"]), "OK");
    is_signed_out(&person, &replicas).await;
    is_signed_out(&other, &replicas).await;
    scale(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_restart_of_redis_signs_nobody_out() {
    let mut people = Vec::new();
    for _ in 0..20 {
        people.push(Person::new().await);
    }
    printed(&compose(&["restart", "redis"]));
    is_healthy("redis").await;
    sleep(KNOWN_WITHIN).await;
    for person in people {
        person.me().await.expect_status(200);
        person.refresh().await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_killed_postgres_has_every_account_that_was_acknowledged() {
    let killed = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let killed = Arc::clone(&killed);
            tokio::spawn(async move {
                let (api, mut acknowledged) = (Api::new(), Vec::new());
                while !killed.load(Ordering::Relaxed) {
                    let email = format!("{}@example.com", unique());
                    let body = json!({ "email": email, "full_name": "Ann", "password": PASSWORD });
                    match api.post_json("/api/user/register/", &body).await.status {
                        201 => acknowledged.push(email),
                        status => assert_eq!(status, 503),
                    }
                }
                acknowledged
            })
        })
        .collect();
    sleep(Duration::from_secs(3)).await;
    let postgres = container("postgres");
    printed(&docker(&["kill", &postgres]));
    killed.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    printed(&docker(&["start", &postgres]));
    is_healthy("postgres").await;
    is_healthy("auth-api").await;
    let counted = compose(&[
        "exec",
        "-T",
        "postgres",
        "psql",
        "-U",
        "postgres",
        "-d",
        "users",
        "-qAtc",
        "select email from users",
    ]);
    let stored = printed(&counted);
    let stored: std::collections::HashSet<&str> = stored.lines().collect();
    println!("Postgres killed: {} registrations were acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 20);
    assert!(acknowledged.iter().all(|email| stored.contains(email.as_str())), "an acknowledged account is lost");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn no_get_fails_while_replicas_come_and_go() {
    let mut load = Load::new();
    for _ in 0..3 {
        load.readers().await;
    }
    let pause = || sleep(Duration::from_secs(3));
    scale(1, 3).await;
    pause().await;
    printed(&docker(&["kill", containers("media-server").first().unwrap()]));
    pause().await;
    scale(2, 3).await;
    pause().await;
    scale(2, 1).await;
    pause().await;
    printed(&docker(&["kill", "--signal", "HUP", &container("nginx")]));
    pause().await;
    scale(1, 1).await;
    pause().await;
    load.end("media-server 1 → 3 → 1 with one killed, auth-api 1 → 2 → 1, nginx reloaded").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn no_request_fails_while_a_service_is_replaced() {
    let mut load = Load::new();
    load.readers().await;
    let (person, api) = (Person::new().await, Api::new());
    load.client("login", 200, move || {
        person.api.request("POST", "/api/user/login/").json(&json!({ "email": person.email, "password": PASSWORD }))
    });
    // Sent twice, it would be refused: the address is taken.
    load.client("register", 201, move || {
        let body = json!({ "email": format!("{}@example.com", unique()), "full_name": "Ann", "password": PASSWORD });
        api.request("POST", "/api/user/register/").json(&body)
    });
    for service in ["auth-api", "media-server"] {
        let old = containers(service);
        let rolled = Command::new(format!("{ROOT}/deploy/roll")).arg(service).output().unwrap();
        printed(&rolled);
        is_healthy(service).await;
        assert!(containers(service).iter().all(|container| !old.contains(container)));
    }
    load.end("both services replaced").await;
}

#[test]
#[ignore = "deploy/test-containers"]
fn what_would_keep_a_service_from_its_work_is_one_line_of_its_check() {
    let of = |service: &str, options: &[&str]| {
        let output = compose(&[&["run", "--rm", "-T", "--no-deps"], options, &[service]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for service in ["check-auth-api", "check-media-server"] {
        assert_eq!(of(service, &[]).0, Some(0), "{service}");
    }
    for (service, setting, parts) in [
        (
            "check-auth-api",
            "DATABASE_PASSWORD_FILE=/run/secrets/media/secret",
            ["Postgres: password authentication failed", "DATABASE_PASSWORD_FILE"],
        ),
        ("check-auth-api", "DATABASE_URL=postgres://users@nowhere/users", ["Postgres", "DATABASE_URL"]),
        ("check-auth-api", "REDIS_PASSWORD_FILE=", ["Redis", "REDIS_PASSWORD_FILE"]),
        ("check-auth-api", "REDIS_PASSWORD_FILE=/run/secrets/media/secret", ["Redis", "REDIS_PASSWORD_FILE"]),
        ("check-auth-api", "MEDIA_SECRET_FILE=/run/secrets/redis/password", ["media-server", "MEDIA_SECRET_FILE"]),
        ("check-auth-api", "TOKEN_KEYS_DIR=/etc", ["TOKEN_KEYS_DIR", "/etc"]),
        ("check-media-server", "STORAGE_URL=file:///etc", ["STORAGE_URL", "give it to the user"]),
    ] {
        let (code, error) = of(service, &["-e", setting]);
        let lines: Vec<_> =
            error.lines().filter(|line| line.starts_with(service.trim_start_matches("check-"))).collect();
        assert_eq!((code, lines.len()), (Some(1), 1), "{setting}: {error}");
        println!("{}", lines[0]);
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{setting}: {error}");
    }
}

#[test]
#[ignore = "deploy/test-containers"]
fn a_full_disk_is_one_line_of_the_check() {
    let image = inspect(&container("media-server"), "{{.Image}}");
    let secrets = format!("{}_secret-media:/run/secrets/media:ro", setting("COMPOSE_PROJECT_NAME"));
    let full = "/var/lib/users-media:size=64k,nr_inodes=99,uid=10001";
    let arguments = ["run", "--rm", "--read-only", "--volume", &secrets, "--tmpfs", full];
    let output =
        docker(&[&arguments[..], &["--env", "MEDIA_SECRET_FILE=/run/secrets/media/secret", &image, "check"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    println!("{error}");
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("STORAGE_URL") && error.contains("No space left") && error.contains("not full"), "{error}");
}
