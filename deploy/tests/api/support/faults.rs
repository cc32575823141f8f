//! What an answer must be while a part is away, and after.

use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, PASSWORD, Person};

/// An answer must come within this, the configured deadline and some air for a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long what is known may be known: two seconds, and air.
const REMEMBERED: Duration = Duration::from_secs(3);

/// All must be in order again within this.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// The answer, which must come in time.
pub async fn within_deadline<T>(what: &str, answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(ANSWER_WITHIN, answer)
        .await
        .unwrap_or_else(|_| panic!("{what}: no answer in {ANSWER_WITHIN:?}"))
}

/// Checks a 503 that says when to ask again.
#[track_caller]
pub fn is_unavailable(what: &str, answer: &Answer) {
    assert_eq!(answer.status, 503, "{what}: {}", answer.text());
    assert!(answer.json()["detail"].is_string(), "{what}");
    assert!(
        answer.header("retry-after").parse::<u64>().is_ok(),
        "{what}: Retry-After {:?}",
        answer.header("retry-after")
    );
}

/// What was read just before may be answered for two seconds; then it is 503, each time in time.
pub async fn turns_unavailable(what: &str, mut ask: impl AsyncFnMut() -> Answer) {
    let since = Instant::now();
    loop {
        let answer = within_deadline(what, ask()).await;
        if answer.status != 200 {
            return is_unavailable(what, &answer);
        }
        assert!(since.elapsed() < REMEMBERED, "{what}: still 200 after {REMEMBERED:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks until it succeeds.
pub async fn is_back(what: &str, mut ask: impl AsyncFnMut() -> u16) {
    let since = Instant::now();
    loop {
        let status = ask().await;
        if status == 200 {
            return;
        }
        assert!(since.elapsed() < BACK_WITHIN, "{what}: still {status} after {BACK_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks that somebody who is signed in stays so, and can sign in again.
pub async fn is_in_order(person: &Person) {
    is_back("me", async || person.me().await.status).await;
    is_back("login", async || Person::login(&person.api, &person.email, PASSWORD).await.status).await;
}

/// Waits until something holds.
pub async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < within, "{what}: not in {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    since.elapsed()
}
