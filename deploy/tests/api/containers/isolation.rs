//! Privileges, network isolation, and contents of images.

use std::process::Command;

use crate::containers::{SERVICES, addresses, container, docker, inside, inspect, listed, printed};

#[test]
#[ignore = "deploy/test-containers"]
fn each_container_is_healthy_and_was_started_once() {
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
fn no_container_runs_as_root_or_can_write_to_its_root_file_system() {
    for service in SERVICES {
        let container = container(service);
        assert_ne!(printed(&inside(&container, "id -u")), "0", "{service}");
        // `docker exec` may run as another user than the service itself.
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
fn nginx_reaches_only_the_public_apis() {
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
    // Proves that media-server does listen there.
    let auth_api = container("auth-api");
    assert!(docker(&["exec", &auth_api, "bash", "-c", "exec 3<>/dev/tcp/media-writing/8001"]).status.success());
}

#[test]
#[ignore = "deploy/test-containers"]
fn images_contain_no_secrets_sources_or_toolchain() {
    let mut secrets = Vec::new();
    for (service, files) in [
        ("auth-api", "/run/secrets/*/* /var/lib/auth-api/keys/*"),
        ("postgres", "/run/secrets/postgres/*"),
        ("redis", "/run/secrets/redis/password"),
    ] {
        let text = printed(&inside(&container(service), &format!("cat {files}")));
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
