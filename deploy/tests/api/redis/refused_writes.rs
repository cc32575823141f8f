//! A Redis that refuses writes: at `maxmemory`, or because it can't persist. And one that would evict sessions.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::redis::stack_on;
use crate::support::{
    Api, FAILURES_PER_ACCOUNT, OwnStack, PASSWORD, RedisNode, Scratch, TestUser, assert_throttled, assert_unavailable,
    login_from, register, send, service, unique_email, wait_until, wait_until_ok,
};

/// Two intervals of the watch of Redis, and margin for a busy machine.
const LOGGED_WITHIN: Duration = Duration::from_secs(15);

async fn delete(user: &TestUser, path: &str, body: &Value) -> u16 {
    send(user.request("DELETE", path).json(body)).await.status
}

async fn wait_until_logged(stack: &OwnStack, text: &str) {
    let is_logged = async || fs::read_to_string(stack.data.join("logs/auth-api.log")).unwrap().contains(text);
    wait_until(text, LOGGED_WITHIN, is_logged).await;
}

/// Runs a command of auth-api with settings of the node's Redis and of the service at `listen`.
fn run(verb: &str, settings: &[(&str, &str)]) -> Output {
    service("auth-api").arg(verb).envs(settings.iter().copied()).output().unwrap()
}

fn redis_url(node: &RedisNode) -> String {
    format!("redis://127.0.0.1:{}/0", node.port)
}

/// Asserts what the container's health check says of a degraded service.
fn assert_healthcheck_fails(stack: &OwnStack, reason: &str) {
    let listen = stack.env().auth_api.trim_start_matches("http://").to_owned();
    let output = run("healthcheck", &[("LISTEN", &listen)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("auth-api: degraded: {reason}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_maxmemory_all_works_but_new_sign_ins() {
    let (files, node) = (Scratch::new(), RedisNode::start(None, "").await);
    let limits = [("REGISTRATIONS_PER_ADDRESS", "100"), ("EMAIL_CHECKS_PER_ACCOUNT", "100")];
    let stack = stack_on(&redis_url(&node), &files, &limits);
    let auth_api = Api::at(&stack.env().auth_api);
    let user = TestUser::at(&stack.api).await;
    let [other, listed, ended, logged_out] = [
        user.sign_in_again().await,
        user.sign_in_again().await,
        user.sign_in_again().await,
        user.sign_in_again().await,
    ];
    let leaving = TestUser::at(&stack.api).await;
    auth_api.get("/readyz").await.expect(200, &json!({ "status": "ok" }));
    assert_eq!(
        run("healthcheck", &[("LISTEN", stack.env().auth_api.trim_start_matches("http://"))]).status.code(),
        Some(0)
    );

    assert_eq!(node.run(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    // Redis has restarted, say: each script is loaded again.
    assert_eq!(node.run(&["SCRIPT", "FLUSH"]), "OK");
    auth_api.get("/readyz").await.expect(200, &json!({ "status": "degraded", "reasons": ["redis_full"] }));
    assert_healthcheck_fails(&stack, "redis_full");
    wait_until_logged(&stack, "Redis is at its memory limit").await;

    assert_unavailable("login", &TestUser::login(&stack.api, &user.email, PASSWORD).await);
    register(&stack.api).await.expect_status(201);
    user.me().await.expect_status(200);
    let refreshed = user.refreshed().await;
    assert_eq!(user.refreshed().await.refresh, refreshed.refresh);
    let user = refreshed.refreshed().await;
    let is_unused = |user: &TestUser| node.run(&["HEXISTS", &user.session_key(), "unused"]) == "1";
    assert!(is_unused(&user));
    user.me().await.expect_status(200);
    assert!(!is_unused(&user), "the use of the pair is recorded");
    user.update(&json!({ "full_name": "Ann Other", "email": unique_email() })).await.expect_status(200);
    assert_eq!(delete(&user, &format!("/api/user/sessions/{}/", listed.sid()), &Value::Null).await, 204);
    listed.me().await.expect_unauthorized();
    let body = json!({ "refresh": logged_out.refresh });
    stack.api.post_json("/api/user/logout/", &body).await.expect_status(204);
    logged_out.me().await.expect_unauthorized();
    // Reuse of a refresh token.
    let _ = ended.refreshed().await.refreshed().await;
    ended.refresh().await.expect_unauthorized();
    ended.me().await.expect_unauthorized();
    // The new password revokes all sessions but the one that has set it.
    let password = "a quite different phrase";
    user.update(&json!({ "password": password })).await.expect_status(200);
    user.me().await.expect_status(200);
    user.refreshed().await.me().await.expect_status(200);
    other.me().await.expect_unauthorized();
    assert!(!node.exists(&other.session_key()));
    assert_eq!(delete(&user, "/api/user/sessions/", &Value::Null).await, 204);
    // The throttle counts.
    for _ in 0..FAILURES_PER_ACCOUNT {
        login_from(&auth_api, "10.1.2.3", &leaving.email, "wrong").await.expect_status(400);
    }
    assert_throttled(&login_from(&auth_api, "10.1.2.3", &leaving.email, PASSWORD).await, 900);
    assert_eq!(delete(&leaving, "/api/user/me/", &json!({ "password": "wrong" })).await, 400);
    assert_eq!(delete(&leaving, "/api/user/me/", &json!({ "password": PASSWORD })).await, 204);
    leaving.me().await.expect_unauthorized();
    assert!(!node.exists(&leaving.session_key()));

    assert_eq!(node.run(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    auth_api.get("/readyz").await.expect(200, &json!({ "status": "ok" }));
    TestUser::login(&stack.api, &user.email, password).await.expect_status(400);
    wait_until_logged(&stack, "no longer: Redis is at its memory limit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_persist_still_serves_me_for_users_not_read_before() {
    let (files, node) = (Scratch::new(), RedisNode::start(None, "").await);
    let stack = stack_on(&redis_url(&node), &files, &[]);
    let auth_api = Api::at(&stack.env().auth_api);
    let (read, unread) = (TestUser::at(&stack.api).await, TestUser::at(&stack.api).await);
    read.me().await.expect_status(200);
    let unread = unread.refreshed().await;
    // A directory in the way of the snapshot.
    let directory = node.run(&["CONFIG", "GET", "dir"]).lines().last().unwrap().to_owned();
    let snapshot = Path::new(&directory).join("dump.rdb");
    fs::create_dir(&snapshot).unwrap();
    assert_eq!(node.run(&["CONFIG", "SET", "save", "3600 1"]), "OK");
    let save = async |status: &str| {
        node.run(&["BGSAVE"]);
        let is_saved = async || node.run(&["INFO", "persistence"]).contains(status);
        wait_until(status, Duration::from_secs(10), is_saved).await;
    };
    save("rdb_last_bgsave_status:err").await;
    auth_api.get("/readyz").await.expect(200, &json!({ "status": "degraded", "reasons": ["redis_not_persisting"] }));
    assert_healthcheck_fails(&stack, "redis_not_persisting");
    unread.me().await.expect_status(200);
    read.me().await.expect_status(200);
    assert_unavailable("refresh", &unread.refresh().await);
    assert_unavailable("login", &TestUser::login(&stack.api, &unread.email, PASSWORD).await);
    unread.me().await.expect_status(200);
    let is_unused = || node.run(&["HEXISTS", &unread.session_key(), "unused"]) == "1";
    assert!(is_unused(), "the use of the pair can't be recorded");

    fs::remove_dir(&snapshot).unwrap();
    save("rdb_last_bgsave_status:ok").await;
    unread.me().await.expect_status(200);
    assert!(!is_unused(), "the next use records it");
    wait_until_ok("refresh", async || unread.refresh().await.status).await;
    auth_api.get("/readyz").await.expect(200, &json!({ "status": "ok" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_policy_and_little_headroom_are_reported_at_start_and_by_check() {
    let (files, node) = (Scratch::new(), RedisNode::start(None, "maxmemory-policy allkeys-lru").await);
    let stack = stack_on(&redis_url(&node), &files, &[]);
    let warning = "set maxmemory-policy to noeviction, not allkeys-lru";
    wait_until_logged(&stack, warning).await;
    let password = files.write("password", RedisNode::PASSWORD);
    let postgres = &stack.env().postgres;
    let settings = [
        ("DATABASE_URL", postgres.as_str()),
        ("REDIS_URL", &redis_url(&node)),
        ("REDIS_PASSWORD_FILE", &password),
        ("MEDIA_SECRET_FILE", &password),
        ("TOKEN_KEYS_DIR", files.text()),
        ("REFRESH_TOKEN_ALGORITHM", "eddsa"),
    ];
    let check = run("check", &settings);
    assert!(String::from_utf8_lossy(&check.stdout).contains(warning), "{check:?}");

    node.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    wait_until_logged(&stack, &format!("no longer: Redis evicts sessions at its memory limit: {warning}")).await;
    let used = node.run(&["INFO", "memory"]);
    let used: u64 = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap();
    node.run(&["CONFIG", "SET", "maxmemory", &(used * 100 / 95).to_string()]);
    wait_until_logged(&stack, "Redis uses more than 90 % of its memory limit").await;
    Api::at(&stack.env().auth_api).get("/readyz").await.expect(200, &json!({ "status": "ok" }));
}
