//! Revoked sessions and changed users on several replicas: visible at once as a rule, and within 2 s on a replica that is
//! partitioned from Redis or Postgres.

use std::time::Duration;

use reqwest::Url;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    Api, Fault, PASSWORD, Proxy, Replica, TestUser, claims, postgres, redis, stack, wait_until, wait_until_ok,
    wait_until_unavailable,
};

/// Every tenth revocation happens while the second replica is cut off.
const REVOCATIONS: u32 = 100;
const CUT_OFF_EVERY: u32 = 10;

const STALENESS_MAX: Duration = Duration::from_secs(2);

/// Returns when after `since` the last accepted request was sent. A request that gets no response is not accepted.
async fn last_accepted(user: &TestUser, since: Instant) -> Duration {
    let mut last = Duration::ZERO;
    while since.elapsed() < STALENESS_MAX + Duration::from_millis(500) {
        let sent = since.elapsed();
        match timeout(Duration::from_millis(500), user.me()).await {
            Ok(response) if response.status == 200 => last = sent,
            // Refused once, refused from then on: asserted at the end of each round.
            _ => return last,
        }
        sleep(Duration::from_millis(1)).await;
    }
    last
}

fn print_percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: median {:?}, p90 {:?}, longest {:?} of {}", at(50), at(90), at(100), times.len());
}

/// Starts a proxy in front of a store, and returns it with the URL that leads through it.
async fn proxied(url: &str) -> (Proxy, String) {
    let mut url = Url::parse(url).unwrap();
    let proxy = Proxy::to(url.port().unwrap()).await;
    url.set_port(Some(proxy.port)).unwrap();
    (proxy, url.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_key_revokes_the_session_on_two_replicas_within_the_staleness_bound() {
    let (proxy, url) = proxied(&stack().redis_url()).await;
    let replica = Replica::start(&[("REDIS_URL", &url)]).await;
    let owner = TestUser::at(&Api::at(&stack().auth_api)).await;
    let (mut connected, mut cut_off) = (Vec::new(), Vec::new());
    for number in 0..REVOCATIONS {
        let here = owner.sign_in_again().await;
        let there = here.via(&replica.api);
        here.me().await.expect_status(200);
        there.me().await.expect_status(200);
        let is_cut_off = number % CUT_OFF_EVERY == 0;
        proxy.set(if is_cut_off { Fault::Blackhole } else { Fault::None });
        redis(stack(), &["DEL", &here.session_key()]);
        let since = Instant::now();
        let (near_last, far_last) = tokio::join!(last_accepted(&here, since), last_accepted(&there, since));
        assert!(near_last.max(far_last) < STALENESS_MAX, "{number}: accepted after {near_last:?}, {far_last:?}");
        connected.push(near_last);
        if is_cut_off { &mut cut_off } else { &mut connected }.push(far_last);
        proxy.set(Fault::None);
        here.me().await.expect_unauthorized();
        let has_recovered = async || there.me().await.status == 401;
        wait_until("the second replica recovers", Duration::from_secs(5), has_recovered).await;
    }
    print_percentiles("connected", connected);
    print_percentiles("cut off", cut_off);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_change_at_one_replica_is_visible_at_the_other() {
    let replica = Replica::start(&[]).await;
    let here = TestUser::at(&Api::at(&stack().auth_api)).await;
    let there = here.via(&replica.api);
    let mut immediate = 0;
    for number in 0..100 {
        there.me().await.expect_status(200);
        let updated = here.update(&json!({ "full_name": format!("Name {number}") })).await.expect_status(200).json();
        if there.me().await.json() == updated {
            immediate += 1;
        } else {
            wait_until("the update is visible", STALENESS_MAX, async || there.me().await.json() == updated).await;
        }
    }
    println!("visible at once: {immediate} of 100");
    assert!(immediate > 50, "an update is visible by its invalidation, not by the expiry of the cache entry");
    // A refresh token is rotated once, whichever replicas it is presented to.
    // The access token may be signed again.
    let pairs = [here.refresh().await, there.refresh().await].map(|response| response.expect_status(200).json());
    assert_eq!(pairs[0]["refresh"], pairs[1]["refresh"]);
    let [first, second] = [0, 1].map(|at| claims(pairs[at]["access"].as_str().unwrap())["jti"].clone());
    assert_eq!(first, second);
    // A new password revokes the sessions that the other replica has cached.
    let other = there.sign_in_again().await;
    other.me().await.expect_status(200);
    here.update(&json!({ "password": "a quite different phrase" })).await.expect_status(200);
    wait_until("the other session ends", STALENESS_MAX, async || other.me().await.status == 401).await;
    there.me().await.expect_status(200);
    TestUser::login(&replica.api, &here.email, PASSWORD).await.expect_status(400);
    // A manual edit in Postgres invalidates both caches.
    postgres(stack(), &format!("update users set full_name = 'Edited' where id = '{}'", here.id));
    for user in [&here, &there] {
        let is_visible = async || user.me().await.expect_status(200).json()["full_name"] == "Edited";
        wait_until("the manual edit is visible", STALENESS_MAX, is_visible).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_from_postgres_a_change_is_visible_within_the_staleness_bound() {
    let (proxy, url) = proxied(&stack().postgres).await;
    let replica = Replica::start(&[("DATABASE_URL", &url), ("USER_COPY_SECONDS", "1")]).await;
    assert!(replica.log().contains("USER_COPY_SECONDS is set; it has no effect"), "{}", replica.log());
    let here = TestUser::at(&Api::at(&stack().auth_api)).await;
    let there = here.via(&replica.api);
    for number in 0..5 {
        there.me().await.expect_status(200);
        proxy.set(Fault::Blackhole);
        let since = Instant::now();
        let updated = here.update(&json!({ "full_name": format!("Name {number}") })).await.expect_status(200).json();
        let last = last_accepted(&there, since).await;
        assert!(last < STALENESS_MAX, "{number}: stale after {last:?}");
        wait_until_unavailable("me", async || there.me().await).await;
        proxy.set(Fault::None);
        wait_until_ok("me", async || there.me().await.status).await;
        assert_eq!(there.me().await.expect_status(200).json(), updated);
    }
}
