//! Failed logins are throttled. Each test uses client addresses of its own, which auth-api accepts from a trusted proxy.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::random::Random;

use crate::support::{
    Api, FAILURES_PER_ACCOUNT, PASSWORD, Replica, Response, TestUser, assert_throttled, guess_concurrently, ipv4,
    login_from, move_back, redis, send, stack,
};

const WRONG: &str = "another phrase";
const WINDOW_SECONDS: u64 = 900;

/// auth-api itself: nginx would replace the client address.
fn auth_api() -> Api {
    Api::at(&stack().auth_api)
}

/// The first half of an IPv6 address that no other test uses.
fn network() -> String {
    let [a, b, c, d] = Random::system().bytes();
    format!("2001:db8:{a:x}{b:02x}:{c:x}{d:02x}")
}

/// Sends wrong passwords one after the other; none is throttled.
async fn guess(api: &Api, address: &str, email: &str, times: usize) {
    for guess in 0..times {
        assert_eq!(login_from(api, address, email, WRONG).await.status, 400, "guess {guess}");
    }
}

/// Logs in with the right password, asserts a 429, and returns its `Retry-After`.
async fn throttled_login(api: &Api, address: &str, email: &str) -> u64 {
    assert_throttled(&login_from(api, address, email, PASSWORD).await, WINDOW_SECONDS)
}

async fn delete_me(api: &Api, address: &str, user: &TestUser, password: &str) -> Response {
    let request = api.request_as(&user.access, "DELETE", "/api/user/me/").header("x-forwarded-for", address);
    send(request.json(&json!({ "password": password }))).await
}

/// The keys of failure windows of an address, and their sizes.
fn failures(address: &str) -> BTreeMap<String, u64> {
    let keys = redis(stack(), &["--scan", "--pattern", &format!("login:failed:*{address}*")]);
    keys.lines().map(|key| (key.to_owned(), redis(stack(), &["ZCARD", key]).parse().unwrap())).collect()
}

/// Moves the failures of an address into the past.
fn age(address: &str, seconds: u64) {
    move_back(&format!("login:failed:*{address}*"), seconds);
}

#[tokio::test]
async fn too_many_failures_lock_the_account_for_this_address_and_no_other() {
    let (api, user) = (auth_api(), TestUser::new().await);
    let (here, there) = (ipv4(), ipv4());
    guess(&api, &here, &user.email, FAILURES_PER_ACCOUNT).await;
    assert_throttled(&login_from(&api, &here, &user.email, WRONG).await, WINDOW_SECONDS);
    throttled_login(&api, &here, &format!(" {} ", user.email.to_uppercase())).await;
    login_from(&api, &there, &user.email, PASSWORD).await.expect_status(200);
    throttled_login(&api, &here, &user.email).await;
    let other = TestUser::new().await;
    login_from(&api, &here, &other.email, PASSWORD).await.expect_status(200);
    user.me().await.expect_status(200);
}

#[tokio::test]
async fn an_unknown_email_is_throttled_like_an_existing_one() {
    let (api, user) = (auth_api(), TestUser::new().await);
    let mut sequences = Vec::new();
    for email in [user.email.clone(), format!("unknown-{}", user.email), "no address".to_owned()] {
        let address = ipv4();
        let mut sequence = Vec::new();
        for _ in 0..=FAILURES_PER_ACCOUNT {
            let response = login_from(&api, &address, &email, WRONG).await;
            // The wait may differ by a second.
            let body = if response.status == 429 { Value::Null } else { response.json() };
            sequence.push((response.status, body));
        }
        assert_eq!(sequence[FAILURES_PER_ACCOUNT].0, 429);
        sequences.push(sequence);
    }
    assert!(sequences[0] == sequences[1] && sequences[1] == sequences[2], "{sequences:?}");
}

#[tokio::test]
async fn of_a_hundred_concurrent_guesses_no_more_are_checked_than_may_fail() {
    guess_concurrently(&auth_api(), &ipv4(), &TestUser::new().await.email, 100).await;
}

#[tokio::test]
async fn concurrent_logins_with_the_right_password_all_succeed() {
    let (api, user, address) = (auth_api(), TestUser::new().await, ipv4());
    guess(&api, &address, &user.email, FAILURES_PER_ACCOUNT - 1).await;
    for response in join_all((0..60).map(|_| login_from(&api, &address, &user.email, PASSWORD))).await {
        response.expect_status(200);
    }
}

#[tokio::test]
async fn a_successful_login_resets_the_failures_of_the_account_and_not_of_the_address() {
    let (api, user, address) = (auth_api(), TestUser::new().await, ipv4());
    for _ in 0..2 {
        guess(&api, &address, &user.email, FAILURES_PER_ACCOUNT - 1).await;
        login_from(&api, &address, &user.email, PASSWORD).await.expect_status(200);
    }
    let expected = (format!("login:failed:{{{address}}}"), 2 * (FAILURES_PER_ACCOUNT as u64 - 1));
    assert_eq!(failures(&address), BTreeMap::from([expected]));
    let reserved = redis(stack(), &["--scan", "--pattern", &format!("login:trying:*{address}*")]);
    assert_eq!(reserved, "", "a reported attempt releases its reservation");
}

#[tokio::test]
async fn retry_after_is_the_time_until_the_next_attempt_is_possible() {
    let (api, user, address) = (auth_api(), TestUser::new().await, ipv4());
    guess(&api, &address, &user.email, 1).await;
    age(&address, 100);
    guess(&api, &address, &user.email, FAILURES_PER_ACCOUNT - 1).await;
    let wait = throttled_login(&api, &address, &user.email).await;
    assert!((780..=800).contains(&wait), "the first failure is 100 s old: {wait}");
    age(&address, wait - 5);
    let wait = throttled_login(&api, &address, &user.email).await;
    assert!((1..=5).contains(&wait), "{wait}");
    age(&address, wait);
    // One attempt, until the next failure leaves the window.
    guess(&api, &address, &user.email, 1).await;
    throttled_login(&api, &address, &user.email).await;
    age(&address, 100);
    login_from(&api, &address, &user.email, PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn an_ipv6_network_counts_as_one_address_and_a_mapped_address_as_ipv4() {
    let (api, user) = (auth_api(), TestUser::new().await);
    let (network, other) = (network(), network());
    for host in 0..FAILURES_PER_ACCOUNT {
        guess(&api, &format!("{network}:{host:x}::{host:x}"), &user.email, 1).await;
    }
    throttled_login(&api, &format!("{network}::ffff"), &user.email).await;
    login_from(&api, &format!("{other}::1"), &user.email, PASSWORD).await.expect_status(200);
    let address = ipv4();
    guess(&api, &format!("::ffff:{address}"), &user.email, FAILURES_PER_ACCOUNT).await;
    throttled_login(&api, &address, &user.email).await;
}

#[tokio::test]
async fn failures_of_one_address_with_many_accounts_lock_it_on_every_replica() {
    let settings = [("LOGIN_FAILURES_PER_ADDRESS", "4"), ("LOGIN_FAILURES_WINDOW_SECONDS", "60")];
    let (one, other) = (Replica::start(&settings).await, Replica::start(&settings).await);
    let (user, address) = (TestUser::new().await, ipv4());
    for (number, replica) in [&one, &other, &one, &other].into_iter().enumerate() {
        guess(&replica.api, &address, &format!("unknown-{number}-{}", user.email), 1).await;
    }
    for replica in [&one, &other] {
        assert!(throttled_login(&replica.api, &address, &user.email).await <= 60);
        login_from(&replica.api, &ipv4(), &user.email, PASSWORD).await.expect_status(200);
    }
}

#[tokio::test]
async fn failures_of_a_signed_in_user_count_by_user_even_if_the_email_changes() {
    let (api, user, address) = (auth_api(), TestUser::new().await, ipv4());
    for guess in 0..FAILURES_PER_ACCOUNT {
        assert_eq!(delete_me(&api, &address, &user, WRONG).await.status, 400, "guess {guess}");
        user.update(&json!({ "email": format!("{guess}-{}", user.email) })).await.expect_status(200);
    }
    assert_throttled(&delete_me(&api, &address, &user, PASSWORD).await, WINDOW_SECONDS);
    // Login failures are counted separately: a stolen session can't lock its user out of login.
    let email = format!("{}-{}", FAILURES_PER_ACCOUNT - 1, user.email);
    login_from(&api, &address, &email, PASSWORD).await.expect_status(200);
    assert_throttled(&delete_me(&api, &address, &user, PASSWORD).await, WINDOW_SECONDS);
    guess(&api, &address, &email, FAILURES_PER_ACCOUNT).await;
    throttled_login(&api, &address, &email).await;
    age(&address, WINDOW_SECONDS);
    assert_eq!(delete_me(&api, &address, &user, PASSWORD).await.status, 204);
}

#[tokio::test]
async fn failures_of_a_signed_in_user_and_of_logins_share_the_limit_of_the_client_address() {
    let settings = [("LOGIN_FAILURES_PER_ADDRESS", "4")];
    let (replica, user, address) = (Replica::start(&settings).await, TestUser::new().await, ipv4());
    for number in 0..2 {
        guess(&replica.api, &address, &format!("{number}-{}", user.email), 1).await;
        assert_eq!(delete_me(&replica.api, &address, &user, WRONG).await.status, 400);
    }
    throttled_login(&replica.api, &address, &user.email).await;
}

#[tokio::test]
async fn failure_windows_hold_no_email_address_and_expire() {
    let (api, user, address) = (auth_api(), TestUser::new().await, ipv4());
    guess(&api, &address, &user.email, 1).await;
    let keys = failures(&address);
    assert_eq!(keys.len(), 2);
    let name = user.email.split('@').next().unwrap();
    for key in keys.keys() {
        assert!(!key.contains(name), "{key}");
        let ttl: u64 = redis(stack(), &["PTTL", key]).parse().unwrap();
        assert!((1..=WINDOW_SECONDS * 1000).contains(&ttl), "{ttl}");
    }
}

#[tokio::test]
async fn an_attempt_refused_by_a_full_hashing_queue_does_not_count() {
    let settings = [("HASHING_THREADS", "1"), ("HASHING_QUEUE_MAX", "1"), ("LOGIN_FAILURES_PER_ACCOUNT", "100")];
    let replica = Replica::start(&settings).await;
    let (user, address) = (TestUser::new().await, ipv4());
    let mut statuses = BTreeMap::from([(400, 0), (503, 0)]);
    for response in join_all((0..50).map(|_| login_from(&replica.api, &address, &user.email, WRONG))).await {
        *statuses.entry(response.status).or_insert(0_u64) += 1;
    }
    assert!(statuses.len() == 2 && statuses[&503] > 0, "{statuses:?}");
    assert!(failures(&address).values().all(|count| *count == statuses[&400]), "{statuses:?}");
}
