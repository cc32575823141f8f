//! Polling, and what a response must be during an outage and after it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{PASSWORD, Response, TestUser};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The configured deadline of a response, and margin for a busy machine.
const RESPONSE_WITHIN: Duration = Duration::from_secs(3);

/// The staleness bound of caches.
const STALENESS_MAX: Duration = Duration::from_secs(2);

/// The staleness bound, and margin for a busy machine.
const UNAVAILABLE_WITHIN: Duration = Duration::from_secs(3);

const RECOVERED_WITHIN: Duration = Duration::from_secs(5);

/// Polls until `holds`, and returns how long that took. Fails after `within`.
pub async fn wait_until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < within, "{what}: not in {within:?}");
        sleep(POLL_INTERVAL).await;
    }
    since.elapsed()
}

/// Returns the response, which must arrive within the deadline.
pub async fn within_deadline<T>(what: &str, response: impl Future<Output = T>) -> T {
    let response = timeout(RESPONSE_WITHIN, response).await;
    response.unwrap_or_else(|_| panic!("{what}: no response in {RESPONSE_WITHIN:?}"))
}

/// Asserts a 503 with `Retry-After`.
#[track_caller]
pub fn assert_unavailable(what: &str, response: &Response) {
    assert_eq!(response.status, 503, "{what}: {}", response.text());
    assert!(response.json()["detail"].is_string(), "{what}");
    let retry_after = response.header("retry-after");
    assert!(retry_after.parse::<u64>().is_ok(), "{what}: Retry-After {retry_after:?}");
}

/// Polls while the response is 200 from a cache, until it is 503; each must arrive within the deadline.
pub async fn wait_until_unavailable(what: &str, mut request: impl AsyncFnMut() -> Response) {
    let is_unavailable = async || {
        let response = within_deadline(what, request()).await;
        if response.status != 200 {
            assert_unavailable(what, &response);
        }
        response.status == 503
    };
    wait_until(&format!("{what} is 503"), UNAVAILABLE_WITHIN, is_unavailable).await;
}

/// Polls until the status is 200.
pub async fn wait_until_ok(what: &str, mut status: impl AsyncFnMut() -> u16) {
    wait_until(&format!("{what} is 200 again"), RECOVERED_WITHIN, async || status().await == 200).await;
}

/// Polls until the user's session works again, and a login too.
pub async fn wait_until_recovered(user: &TestUser) {
    wait_until_ok("me", async || user.me().await.status).await;
    wait_until_ok("login", async || TestUser::login(&user.api, &user.email, PASSWORD).await.status).await;
}

/// The statuses of `me` and `login`, which must be 200 or 503 and arrive within the deadline.
pub async fn statuses_under_fault(user: &TestUser) -> [u16; 2] {
    let me = within_deadline("me", user.me()).await.status;
    let login = within_deadline("login", TestUser::login(&user.api, &user.email, PASSWORD)).await.status;
    assert!([me, login].iter().all(|status| matches!(status, 200 | 503)), "{me} {login}");
    [me, login]
}

/// Polls until the access token is refused, within the staleness bound; the refresh token is refused at once then.
pub async fn wait_until_signed_out(user: &TestUser) {
    wait_until("the session ends", STALENESS_MAX, async || user.me().await.status == 401).await;
    user.refresh().await.expect_unauthorized();
}
