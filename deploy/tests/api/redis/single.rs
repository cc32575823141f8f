//! One server: with TLS, behind a network that falls silent, and asleep.

use std::fs;
use std::time::Duration;

use deploy::{Part, RedisServer};
use tokio::time::Instant;

use crate::redis::{stack_on, until_signed_out};
use crate::support::{
    Api, Certificates, Fault, Person, Proxy, RedisNode, Scratch, endure, is_back, is_in_order, is_unavailable, until,
    within_deadline,
};

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_a_redis_whose_authority_is_trusted_and_no_other() {
    let (files, certificates) = (Scratch::new(), Certificates::new());
    let node = RedisNode::start(Some(&certificates), "").await;
    let authorities = format!("{}/authorities.pem", files.text());
    fs::copy(certificates.authority(), &authorities).unwrap();
    let url = format!("rediss://127.0.0.1:{}/0", node.port);
    let stack = stack_on(&url, &files, &[("REDIS_CA_FILE", &authorities)]);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    is_in_order(&person).await;
    assert_eq!(node.ask(&["DEL", &person.session_key()]), "1");
    until_signed_out(&person).await;

    let person = Person::sign_in(&person.api, &person.email).await;
    fs::copy(certificates.other_authority(), &authorities).unwrap();
    stack.stop(Part::AuthApi).unwrap();
    stack.launch(Part::AuthApi).unwrap();
    let auth_api = Api::at(&stack.env().auth_api);
    let listens = async || auth_api.request("GET", "/healthz").send().await.is_ok();
    until("auth-api listens", Duration::from_secs(10), listens).await;
    let me = within_deadline("me", auth_api.get_as("/api/user/me/", &person.access)).await;
    is_unavailable("me", &me);
    stack.shutdown();
}

/// The link notices by itself, and nobody who asks waits for longer than the deadline, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_and_a_demoted_master_are_503_in_time_and_in_order_by_itself_after() {
    let files = Scratch::new();
    let node = RedisNode::start(None, "").await;
    let proxy = Proxy::to(node.port).await;
    let stack = stack_on(&format!("redis://127.0.0.1:{}/0", proxy.port), &files, &[]);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    is_in_order(&person).await;
    for round in 0..2 {
        proxy.silence(true);
        let asked: Vec<_> = (0..200)
            .map(|_| {
                let person = person.clone();
                tokio::spawn(async move { within_deadline("me", person.me()).await.status })
            })
            .collect();
        for status in asked {
            let status = status.await.unwrap();
            // What was read a moment ago may be remembered.
            assert!(matches!(status, 200 | 503), "{status}");
        }
        let away = async || person.me().await.status == 503;
        let noticed = until("me is 503", Duration::from_secs(5), away).await;
        let at_once = async || {
            let since = Instant::now();
            is_unavailable("me", &within_deadline("me", person.me()).await);
            since.elapsed() < Duration::from_millis(300)
        };
        until("me is 503 at once", Duration::from_secs(5), at_once).await;
        proxy.silence(false);
        let since = Instant::now();
        is_in_order(&person).await;
        println!("round {round}: 503 after {noticed:?}, back after {:?}", since.elapsed());
    }

    // A replica may have old sessions, and takes no new ones.
    let nobody = RedisServer::free_port().unwrap().to_string();
    node.ask(&["REPLICAOF", "127.0.0.1", &nobody]);
    let away = async || person.me().await.status == 503;
    until("me is 503", Duration::from_secs(5), away).await;
    node.ask(&["REPLICAOF", "NO", "ONE"]);
    is_in_order(&person).await;
    stack.shutdown();
}

/// Redis has rotated the token when its client gets 503, and the outage is longer than the grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_whose_reply_an_outage_has_lost_is_repeated_and_one_before_it_is_not() {
    let files = Scratch::new();
    let node = RedisNode::start(None, "").await;
    let proxy = Proxy::to(node.port).await;
    let url = format!("redis://127.0.0.1:{}/0", proxy.port);
    let stack = stack_on(&url, &files, &[("REFRESH_GRACE_SECONDS", "1")]);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    let victim = Person::sign_in(&person.api, &person.email).await;
    let rotated_at = |of: &Person| node.ask(&["HGET", &of.session_key(), "rotated_at"]);
    victim.refresh().await.expect_status(200);
    // As if it were long ago.
    node.ask(&["HINCRBY", &victim.session_key(), "rotated_at", "-60"]);
    // So that the account is cached, and is not asked for first.
    for _ in 0..2 {
        person.me().await.expect_status(200);
    }

    // On a slow machine the account's cache entry expires before the request: reading it again fails, and nothing is rotated.
    let mut issued_at = String::new();
    for _ in 0..10 {
        is_in_order(&person).await;
        proxy.fail(Fault::LostReplies);
        is_unavailable("refresh", &within_deadline("refresh", person.refresh()).await);
        issued_at = rotated_at(&person);
        if !issued_at.is_empty() {
            break;
        }
        proxy.fail(Fault::None);
    }
    assert!(!issued_at.is_empty(), "the token was not rotated");
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.fail(Fault::None);
    is_back("refresh", async || person.refresh().await.status).await;
    assert_eq!(rotated_at(&person), issued_at);
    victim.refresh().await.expect_unauthorized();
    assert_eq!(node.ask(&["EXISTS", &victim.session_key()]), "0", "reuse revokes the session");
    stack.shutdown();
}

/// `DEBUG SLEEP` stops all that Redis does, as a slow command or a fork of a large process would.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_people_endures_a_redis_that_sleeps() {
    let files = Scratch::new();
    let node = RedisNode::start(None, "enable-debug-command yes").await;
    let stack = stack_on(&format!("redis://127.0.0.1:{}/0", node.port), &files, &[]);
    let api = Api::at(&stack.env().base);
    let sleep = |seconds: &str| assert_eq!(node.ask(&["DEBUG", "SLEEP", seconds]), "OK");
    endure("Redis sleeps for a second", &api, false, async |_| sleep("1")).await;
    endure("Redis sleeps for four", &api, true, async |_| sleep("4")).await;
}
