//! More logins than can be served.

use std::time::Duration;

use deploy::{Options, Part, Stack};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Api, PASSWORD, Person};

/// Passwords hashed so far, by a line of the log at debug each.
pub fn hashed(stack: &Stack) -> usize {
    stack.log(Part::AuthApi, usize::MAX).lines().filter(|line| line.contains("a password is hashed")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_logins_at_once_those_past_the_queue_are_told_so_and_me_goes_on() {
    let options = Options::scratch().unwrap().with("HASHING_QUEUE_MAX", "8");
    let stack = Stack::start(options).unwrap();
    let api = Api::at(&stack.env().base);
    let person = Person::at(&api).await;
    let since = Instant::now();
    let logins: Vec<_> = (0..1000)
        .map(|number| {
            let (api, email) = (api.clone(), person.email.clone());
            tokio::spawn(async move {
                // Of one account and of many.
                let email = if number % 2 == 0 { email } else { format!("{number}-{email}") };
                let answer = Person::login(&api, &email, PASSWORD).await;
                if answer.status == 503 {
                    assert_eq!(answer.header("retry-after"), "1", "{}", answer.text());
                }
                (answer.status, since.elapsed())
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        person.me().await.expect_status(200);
        slowest = slowest.max(asked.elapsed());
    }
    let mut refused = Vec::new();
    for login in logins {
        let (status, after) = login.await.unwrap();
        assert!(matches!(status, 200 | 400 | 429 | 503), "{status}");
        if status == 503 {
            refused.push(after);
        }
    }
    let last = refused.iter().max().unwrap();
    println!("{} refused, the last after {last:?}; the slowest me took {slowest:?}", refused.len());
    assert!(refused.len() > 500 && *last < Duration::from_secs(5), "{} {last:?}", refused.len());
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_while_they_wait_cost_no_hash() {
    let options = Options::scratch().unwrap().with("HASHING_THREADS", "1").with("LOG_LEVEL", "debug");
    // A hash takes a second or so: those behind the first wait for as long as the test needs.
    let stack = Stack::start(options.with("ARGON2_PASSES", "30")).unwrap();
    let front = Api::at(&stack.env().base);
    let person = Person::at(&front).await;
    for base in [&stack.env().auth_api, &stack.env().base] {
        let before = hashed(&stack);
        let mut hung = Vec::new();
        for number in 0..30 {
            let body = json!({ "email": format!("{number}-{}", person.email), "password": "x" }).to_string();
            let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
            let head = "POST /api/user/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(request.as_bytes()).await.unwrap();
            hung.push(stream);
        }
        while hashed(&stack) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(hung);
        // It waits behind all of them, and answers when the queue has been gone through.
        Person::login(&front, &person.email, PASSWORD).await.expect_status(200);
        let (cost, own) = (hashed(&stack) - before, 1);
        assert!(cost <= own + 3, "{base}: {cost} hashes");
    }
    stack.shutdown();
}
