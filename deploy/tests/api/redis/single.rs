//! One server: with TLS, with network faults, and blocked by a command.

use std::fs;
use std::time::Duration;

use deploy::Service;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::redis::stack_on;
use crate::support::{
    Api, Certificates, Fault, Proxy, RedisNode, Scratch, TestUser, assert_unavailable, run_under_fault, wait_until,
    wait_until_ok, wait_until_recovered, wait_until_signed_out, within_deadline,
};

const NOTICED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn tls_accepts_only_a_server_certificate_of_a_trusted_ca() {
    let (files, certificates) = (Scratch::new(), Certificates::new());
    let node = RedisNode::start(Some(&certificates), "").await;
    let trusted = format!("{}/trusted.pem", files.text());
    fs::copy(certificates.ca(), &trusted).unwrap();
    let url = format!("rediss://127.0.0.1:{}/0", node.port);
    let stack = stack_on(&url, &files, &[("REDIS_CA_FILE", &trusted)]);
    let user = TestUser::at(&stack.api).await;
    wait_until_recovered(&user).await;
    assert_eq!(node.run(&["DEL", &user.session_key()]), "1");
    wait_until_signed_out(&user).await;

    let user = user.sign_in_again().await;
    fs::copy(certificates.other_ca(), &trusted).unwrap();
    stack.stop(Service::AuthApi).unwrap();
    stack.launch(Service::AuthApi).unwrap();
    let auth_api = Api::at(&stack.env().auth_api);
    let listens = async || auth_api.request("GET", "/healthz").send().await.is_ok();
    wait_until("auth-api listens", Duration::from_secs(10), listens).await;
    assert_unavailable("me", &within_deadline("me", user.via(&auth_api).me()).await);
}

/// The health check notices each fault, and no request waits beyond the deadline, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_blackhole_and_a_demoted_master_are_503_in_time_and_recover() {
    let files = Scratch::new();
    let node = RedisNode::start(None, "").await;
    let proxy = Proxy::to(node.port).await;
    let stack = stack_on(&format!("redis://127.0.0.1:{}/0", proxy.port), &files, &[]);
    let user = TestUser::at(&stack.api).await;
    wait_until_recovered(&user).await;
    let is_unavailable = async || user.me().await.status == 503;
    for round in 0..2 {
        proxy.set(Fault::Blackhole);
        for response in join_all((0..200).map(|_| within_deadline("me", user.me()))).await {
            // 200: still cached.
            assert!(matches!(response.status, 200 | 503), "{}", response.status);
        }
        let noticed = wait_until("me is 503", NOTICED_WITHIN, is_unavailable).await;
        let fails_fast = async || {
            let since = Instant::now();
            assert_unavailable("me", &within_deadline("me", user.me()).await);
            since.elapsed() < Duration::from_millis(300)
        };
        wait_until("me is 503 at once", NOTICED_WITHIN, fails_fast).await;
        proxy.set(Fault::None);
        let since = Instant::now();
        wait_until_recovered(&user).await;
        println!("round {round}: 503 after {noticed:?}, recovered after {:?}", since.elapsed());
    }

    // A replica may have stale sessions, and is read-only.
    let closed_port = deploy::ports::free().unwrap().to_string();
    node.run(&["REPLICAOF", "127.0.0.1", &closed_port]);
    wait_until("me is 503", NOTICED_WITHIN, is_unavailable).await;
    node.run(&["REPLICAOF", "NO", "ONE"]);
    wait_until_recovered(&user).await;
}

/// Redis has rotated the token although the client gets 503, and the outage is longer than the grace period.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_whose_reply_was_lost_is_repeatable_after_the_outage_and_older_reuse_revokes() {
    let files = Scratch::new();
    let node = RedisNode::start(None, "").await;
    let proxy = Proxy::to(node.port).await;
    let url = format!("redis://127.0.0.1:{}/0", proxy.port);
    let stack = stack_on(&url, &files, &[("REFRESH_GRACE_SECONDS", "1")]);
    let user = TestUser::at(&stack.api).await;
    let victim = user.sign_in_again().await;
    let rotated_at = |user: &TestUser| node.run(&["HGET", &user.session_key(), "rotated_at"]);
    victim.refreshed().await.me().await.expect_status(200);
    // As if 60 s had passed.
    node.run(&["HINCRBY", &victim.session_key(), "rotated_at", "-60"]);
    // Fills the cache with the account, which a refresh reads first.
    for _ in 0..2 {
        user.me().await.expect_status(200);
    }

    // On a slow machine the cache entry expires before the refresh: reading the account fails, and nothing is rotated.
    let mut issued_at = String::new();
    for _ in 0..10 {
        wait_until_recovered(&user).await;
        proxy.set(Fault::LostReplies);
        assert_unavailable("refresh", &within_deadline("refresh", user.refresh()).await);
        issued_at = rotated_at(&user);
        if !issued_at.is_empty() {
            break;
        }
        proxy.set(Fault::None);
    }
    assert!(!issued_at.is_empty(), "the token was not rotated");
    sleep(Duration::from_secs(2)).await;
    proxy.set(Fault::None);
    wait_until_ok("refresh", async || user.refresh().await.status).await;
    assert_eq!(rotated_at(&user), issued_at);
    victim.refresh().await.expect_unauthorized();
    assert!(!node.exists(&victim.session_key()), "reuse revokes the session");
}

/// `DEBUG SLEEP` blocks Redis, as a slow command or a fork of a large process would.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_blocked_redis_causes_503_only_and_recovers() {
    let files = Scratch::new();
    let node = RedisNode::start(None, "enable-debug-command yes").await;
    let stack = stack_on(&format!("redis://127.0.0.1:{}/0", node.port), &files, &[]);
    let block = |seconds: &str| assert_eq!(node.run(&["DEBUG", "SLEEP", seconds]), "OK");
    run_under_fault("Redis is blocked for 1 s", &stack.api, false, async |_| block("1")).await;
    run_under_fault("Redis is blocked for 4 s", &stack.api, true, async |_| block("4")).await;
}
