//! More logins than can be hashed.

use std::time::Duration;

use deploy::{Service, Stack};
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{OwnStack, PASSWORD, TestUser, wait_until};

/// The number of passwords hashed so far, one debug line in the log each.
pub fn hashed(stack: &Stack) -> usize {
    stack.log(Service::AuthApi, usize::MAX).lines().filter(|line| line.contains("hashing a password")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_concurrent_logins_those_beyond_the_queue_are_503_and_me_stays_fast() {
    let stack = OwnStack::start(&[("HASHING_QUEUE_MAX", "8")]);
    let user = TestUser::at(&stack.api).await;
    let since = Instant::now();
    let logins = (0..1000).map(|number| {
        let (api, email) = (stack.api.clone(), user.email.clone());
        tokio::spawn(async move {
            // Of one account and of many.
            let email = if number % 2 == 0 { email } else { format!("{number}-{email}") };
            let response = TestUser::login(&api, &email, PASSWORD).await;
            if response.status == 503 {
                assert_eq!(response.header("retry-after"), "1", "{}", response.text());
            }
            (response.status, since.elapsed())
        })
    });
    let logins: Vec<_> = logins.collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let sent = Instant::now();
        user.me().await.expect_status(200);
        slowest = slowest.max(sent.elapsed());
    }
    let mut refused = Vec::new();
    for login in join_all(logins).await {
        let (status, after) = login.unwrap();
        assert!(matches!(status, 200 | 400 | 429 | 503), "{status}");
        if status == 503 {
            refused.push(after);
        }
    }
    let last = refused.iter().max().unwrap();
    println!("{} refused, the last after {last:?}; the slowest me took {slowest:?}", refused.len());
    assert!(refused.len() > 500 && *last < Duration::from_secs(5), "{} {last:?}", refused.len());
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_client_disconnects_in_the_queue_is_not_hashed() {
    // A hash takes about a second: the logins behind the first one wait for as long as the test needs.
    let stack = OwnStack::start(&[("HASHING_THREADS", "1"), ("LOG_LEVEL", "debug"), ("ARGON2_PASSES", "30")]);
    let user = TestUser::at(&stack.api).await;
    for base in [&stack.env().auth_api, &stack.env().base] {
        let before = hashed(&stack);
        let mut connections = Vec::new();
        for number in 0..30 {
            let body = json!({ "email": format!("{number}-{}", user.email), "password": "x" }).to_string();
            let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
            let head = "POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(request.as_bytes()).await.unwrap();
            connections.push(stream);
        }
        wait_until("a password is hashed", Duration::from_mins(1), async || hashed(&stack) > before).await;
        drop(connections);
        // Queued behind all of them: its response proves that the queue is empty.
        TestUser::login(&stack.api, &user.email, PASSWORD).await.expect_status(200);
        let (hashes, own) = (hashed(&stack) - before, 1);
        assert!(hashes <= own + 3, "{base}: {hashes} hashes");
    }
}
