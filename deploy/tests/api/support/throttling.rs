//! Login attempts from a chosen client address, and the sliding windows in Redis that count them.

use futures_util::future::join_all;
use serde_json::json;
use shared::random::Random;

use super::{Api, Response, redis, send, stack};

/// The default of `LOGIN_FAILURES_PER_ACCOUNT`.
pub const FAILURES_PER_ACCOUNT: usize = 10;

/// An IPv4 address that no other test uses.
pub fn ipv4() -> String {
    let [a, b, c] = Random::system().bytes();
    format!("10.{a}.{b}.{c}")
}

/// Logs in as a client with this address; `api` must be auth-api itself, which trusts this machine as a proxy.
pub async fn login_from(api: &Api, address: &str, email: &str, password: &str) -> Response {
    let body = json!({ "email": email, "password": password });
    send(api.request("POST", "/api/user/login/").header("x-forwarded-for", address).json(&body)).await
}

/// Sends wrong passwords concurrently, and asserts that as many are checked as may fail and the rest is throttled.
pub async fn guess_concurrently(api: &Api, address: &str, email: &str, times: usize) {
    let guesses = (0..times).map(|_| login_from(api, address, email, "another phrase"));
    let mut checked = 0;
    for response in join_all(guesses).await {
        if response.status == 400 {
            checked += 1;
        } else {
            assert_throttled(&response, 900);
        }
    }
    assert_eq!(checked, FAILURES_PER_ACCOUNT);
}

/// Asserts a 429, and returns the seconds of its `Retry-After`: at most `seconds_max`.
#[track_caller]
pub fn assert_throttled(response: &Response, seconds_max: u64) -> u64 {
    let wait: u64 = response.header("retry-after").parse().unwrap_or_else(|_| panic!("{}", response.text()));
    response.expect(429, &json!({ "detail": format!("Request was throttled. Expected available in {wait} seconds.") }));
    assert!((1..=seconds_max).contains(&wait), "{wait}");
    wait
}

/// Moves the entries of all sliding windows whose key matches `pattern` into the past: as if time had passed.
pub fn move_back(pattern: &str, seconds: u64) {
    for key in redis(stack(), &["--scan", "--pattern", pattern]).lines() {
        for entry in redis(stack(), &["ZRANGE", key, "0", "-1"]).lines() {
            redis(stack(), &["ZINCRBY", key, &format!("-{}", seconds * 1000), entry]);
        }
    }
}
