//! Settings of the stack: each reaches its service, and an invalid one changes nothing.

use std::path::Path;

use serde_json::Value;

use crate::containers::{
    ROOT, SERVICES, STALENESS_MAX, compose, compose_with, container, containers, docker, inspect, printed, script,
    setting, wait_until_healthy,
};
use crate::support::{Form, PASSWORD, Scratch, TestUser, claims, jpeg, send, wait_until};

#[test]
fn docker_compose_passes_every_documented_setting_on() {
    let compose = include_str!("../../../../docker-compose.yml");
    let documented = include_str!("../../../../docs/settings.md");
    let names: Vec<_> = documented
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .collect();
    assert!(names.len() > 70, "{names:?}");
    // Where a service listens and what it reaches in the stack is fixed.
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !compose.contains(&format!("\n    {name}:")) && !compose.contains(&format!("\n      {name}:")))
        .collect();
    assert!(missing.is_empty(), "docker-compose.yml lacks {missing:?}");
}

#[test]
#[ignore = "deploy/test-containers"]
fn an_invalid_setting_ends_up_before_any_container_is_replaced() {
    let running = || SERVICES.map(container);
    let before = running();
    for (name, value, check) in [
        ("REDIS_DATA", "lots", "check-settings"),
        ("REDIS_DATA", "700mb", "check-settings"),
        ("POSTGRES_MEMORY", "64m", "check-settings"),
        ("HASHING_THREADS", "64", "check-settings-auth-api"),
        ("ACCESS_TOKEN_TTL_SECONDS", "soon", "check-settings-auth-api"),
        ("DECODE_MEMORY_BYTES", "1073741824", "check-settings-media-server"),
        ("RENDITION_SIZES", "0", "check-settings-media-server"),
        ("KEEPALIVE_SECONDS", "0", "check-settings-nginx"),
    ] {
        // The second setting is valid, and would replace Redis.
        let ended = compose_with(&[(name, value), ("REDIS_MEMORY", "767m")], &["up", "-d"]);
        assert!(!ended.status.success(), "{name}={value}");
        let log = printed(&compose(&["logs", "--no-color", check]));
        let last = log.lines().last().unwrap_or_default();
        println!("{last}");
        assert!(last.contains(name) && last.contains("may be"), "{name}: {log}");
        assert_eq!(running(), before, "{name}={value}");
    }
    printed(&compose(&["up", "-d"]));
    assert_eq!(running(), before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_storage_that_cannot_be_written_does_not_stop_auth_api_from_scaling() {
    let before = containers("media-server");
    let scaled = compose_with(&[("STORAGE_URL", "file:///etc")], &["up", "-d", "--scale", "auth-api=2"]);
    assert!(
        !scaled.status.success() && String::from_utf8_lossy(&scaled.stderr).contains("check-media-server"),
        "{scaled:?}"
    );
    assert_eq!(containers("auth-api").len(), 2);
    assert_eq!(containers("media-server"), before);
    wait_until_healthy("auth-api").await;
    printed(&compose(&["up", "-d"]));
    assert_eq!(containers("auth-api").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn settings_reach_auth_api_by_a_roll() {
    let user = TestUser::new().await;
    let lifetime = async || {
        let tokens = TestUser::login(&user.api, &user.email, PASSWORD).await.json();
        let claims: Value = claims(tokens["tokens"]["access"].as_str().unwrap());
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
    };
    assert_eq!(lifetime().await, 300);
    printed(&script(&[("ACCESS_TOKEN_TTL_SECONDS", "60")], "roll", &["auth-api"]));
    assert_eq!(lifetime().await, 60);
    printed(&compose(&["up", "-d"]));
    wait_until_healthy("auth-api").await;
    assert_eq!(lifetime().await, 300);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn settings_reach_nginx_by_a_roll_and_an_invalid_one_changes_nothing() {
    let user = TestUser::new().await;
    let id = "a-request-id";
    let link = async || {
        let request = user.request("PUT", "/api/user/update/").header("x-request-id", id);
        let form = Form::new().file("profile_pic", "a", "image/jpeg", &jpeg());
        let updated = send(form.attach(request.header("x-forwarded-host", "users.example"))).await;
        updated.expect_status(200).json()["profile_pic"].as_str().unwrap().to_owned()
    };
    assert!(!link().await.contains("users.example"));
    let started = inspect(&container("nginx"), "{{.State.StartedAt}}");
    let refused = script(&[("TRUSTED_PROXIES", "everybody")], "roll", &["nginx"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("TRUSTED_PROXIES"),
        "{refused:?}"
    );
    printed(&script(&[("TRUSTED_PROXIES", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16")], "roll", &["nginx"]));
    let trusts = async || link().await.starts_with("http://users.example/");
    wait_until("nginx trusts the proxy", STALENESS_MAX, trusts).await;
    assert_eq!(inspect(&container("nginx"), "{{.State.StartedAt}}"), started);
    printed(&script(&[], "roll", &["nginx"]));
    // One id in the logs of all three.
    for service in ["nginx", "auth-api", "media-server"] {
        let log = printed(&docker(&["logs", &container(service)]));
        assert!(log.contains(id), "{service}");
    }
}

#[test]
#[ignore = "deploy/test-containers"]
fn a_setting_in_the_env_file_that_nothing_uses_is_named() {
    let project = Scratch::new();
    let compose_file = Path::new(ROOT).join("docker-compose.yml");
    std::fs::copy(compose_file, project.path().join("docker-compose.yml")).unwrap();
    project.write(".env", "# comment\nACCESS_TOKEN_TTL_SECOND=60\nLOG_LEVEL=info\nCOMPOSE_PROJECT_NAME=x\n");
    let image = format!("{}/secrets", setting("IMAGE_PREFIX"));
    let volume = format!("{}:/project:ro", project.path().display());
    let sizes = ["REDIS_DATA=512mb", "REDIS_MEMORY=768m", "POSTGRES_MEMORY=1g", "NGINX_MEMORY=512m"];
    let mut arguments = vec!["run", "--rm", "--volume", &volume, "--entrypoint", "check-settings"];
    arguments.extend(sizes.iter().flat_map(|size| ["--env", size]));
    arguments.push(&image);
    let output = docker(&arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("ACCESS_TOKEN_TTL_SECOND is not a setting"), "{error}");
}

#[test]
#[ignore = "deploy/test-containers"]
fn commands_of_the_scripts_fail_loudly() {
    for (name, arguments, part) in [
        ("roll", &["-p", "no-such-stack", "auth-api"][..], "not running"),
        ("roll", &["postgres"], "Usage"),
        ("backup", &["restore", "/nowhere"], "no directory"),
        ("backup", &["save"], "Usage"),
    ] {
        let output = script(&[], name, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(part), "{name} {arguments:?}: {output:?}");
    }
}
