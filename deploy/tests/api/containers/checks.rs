//! The `check` of each service, which runs before it starts.

use crate::containers::{compose, container, docker, inspect, setting};

#[test]
#[ignore = "deploy/test-containers"]
fn a_failed_check_is_one_line_with_the_setting() {
    let check = |service: &str, options: &[&str]| {
        let output = compose(&[&["run", "--rm", "-T", "--no-deps"], options, &[service]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for service in ["check-auth-api", "check-media-server"] {
        assert_eq!(check(service, &[]).0, Some(0), "{service}");
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
        ("check-auth-api", "REFRESH_SECRET_FILE=", ["REFRESH_SECRET_FILE is not set", "openssl rand"]),
        ("check-auth-api", "REFRESH_SECRET_FILE=/nowhere", ["REFRESH_SECRET_FILE", "/nowhere"]),
        ("check-media-server", "STORAGE_URL=file:///etc", ["STORAGE_URL", "the user media-server runs as owns it"]),
    ] {
        let (code, error) = check(service, &["-e", setting]);
        let lines: Vec<_> =
            error.lines().filter(|line| line.starts_with(service.trim_start_matches("check-"))).collect();
        assert_eq!((code, lines.len()), (Some(1), 1), "{setting}: {error}");
        println!("{}", lines[0]);
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{setting}: {error}");
    }
}

#[test]
#[ignore = "deploy/test-containers"]
fn a_full_disk_fails_the_check_with_one_line() {
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
