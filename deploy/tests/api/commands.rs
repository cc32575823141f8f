//! The command lines of the services: help, and errors for invalid settings.

use std::process::Output;

use crate::support::service;

fn run(name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    service(name).args(arguments).env_clear().envs(settings.iter().copied()).output().unwrap()
}

/// Asserts this exit code, and one line on standard error that contains all the parts.
#[track_caller]
fn assert_fails(output: &Output, code: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(code), 1), "{error}");
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn an_invalid_setting_is_one_line_with_its_name_value_and_valid_values() {
    for (service, name, value, valid) in [
        ("auth-api", "LISTEN", "nowhere", "an address and a port"),
        ("auth-api", "ACCESS_TOKEN_TTL_SECONDS", "0", "a whole number from 1 to 86400 (seconds)"),
        ("auth-api", "ACCESS_TOKEN_TTL_SECONDS", "5m", "a whole number from 1 to 86400 (seconds)"),
        ("auth-api", "ARGON2_MEMORY_KIB", "-1", "a whole number from 8 to"),
        ("auth-api", "PUBLIC_URL", "users.example.com", "http:// or https://"),
        ("auth-api", "NGINX_NETWORKS", "10.0.0.0/33", "networks such as"),
        ("auth-api", "LOG_FORMAT", "xml", "auto, json or text"),
        ("auth-api", "UPLOAD_GRACE_SECONDS", "1", "or more"),
        ("media-server", "LISTEN", "8012", "an address and a port"),
        ("media-server", "PICTURE_BYTES_MAX", "10MB", "a whole number"),
        ("media-server", "LOG_LEVEL", "loud", "error, warn, info, debug or trace"),
    ] {
        assert_fails(&run(service, &["serve"], &[(name, value)]), 2, &[name, value, valid]);
    }
}

#[test]
fn an_invalid_setting_that_may_hold_a_password_is_not_printed() {
    for (name, value) in [("DATABASE_URL", "hunter2"), ("REDIS_URL", "hunter2")] {
        let output = run("auth-api", &["serve"], &[(name, value)]);
        assert_fails(&output, 2, &[name]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
}

#[test]
fn an_invalid_redis_url_or_ca_file_is_one_line() {
    for url in ["redis-sentinel://a", "redis://a,b", "redis-cluster://a/1", "http://a"] {
        assert_fails(
            &run("auth-api", &["serve"], &[("REDIS_URL", url)]),
            2,
            &["REDIS_URL", "redis-cluster://HOST:PORT"],
        );
    }
    let no_certificate = std::env::current_exe().unwrap();
    for file in ["/nowhere/ca.pem", no_certificate.to_str().unwrap()] {
        let settings = [("REDIS_URL", "rediss://a"), ("REDIS_CA_FILE", file)];
        assert_fails(&run("auth-api", &["serve"], &settings), 2, &["REDIS_CA_FILE", file, "PEM"]);
    }
}

#[test]
fn a_missing_secret_file_is_one_line() {
    for service in ["auth-api", "media-server"] {
        let output = run(service, &["serve"], &[("MEDIA_SECRET_FILE", "/nowhere/secret")]);
        assert_fails(&output, 1, &["MEDIA_SECRET_FILE", "/nowhere/secret"]);
    }
}

#[test]
fn help_lists_settings_with_their_defaults() {
    for (service, lines) in [
        (
            "auth-api",
            &[
                "ACCESS_TOKEN_TTL_SECONDS",
                "default: 300 seconds",
                "DATABASE_URL",
                "MEDIA_SECRET_FILE",
                "default: 19456 KiB",
            ][..],
        ),
        ("media-server", &["WRITE_LISTEN", "STORAGE_URL", "PICTURE_BYTES_MAX", "default: 10485760 bytes"]),
    ] {
        let output = run(service, &["--help"], &[]);
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && lines.iter().all(|line| help.contains(line)), "{help}");
        assert!(run(service, &["--version"], &[]).status.success());
        assert_fails(&run(service, &["dance"], &[]), 2, &["dance", "serve"]);
    }
}
