//! Stores that are stopped and killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::containers::{KNOWN_WITHIN, compose, container, docker, is_healthy, printed};
use crate::support::{Api, PASSWORD, Person, unique};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_restart_of_redis_signs_nobody_out() {
    let mut people = Vec::new();
    for _ in 0..20 {
        people.push(Person::new().await);
    }
    printed(&compose(&["restart", "redis"]));
    is_healthy("redis").await;
    sleep(KNOWN_WITHIN).await;
    for person in people {
        person.me().await.expect_status(200);
        person.refresh().await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_killed_postgres_has_every_account_that_was_acknowledged() {
    let killed = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let killed = Arc::clone(&killed);
            tokio::spawn(async move {
                let (api, mut acknowledged) = (Api::new(), Vec::new());
                while !killed.load(Ordering::Relaxed) {
                    let email = format!("{}@example.com", unique());
                    let body = json!({ "email": email, "full_name": "Ann", "password": PASSWORD });
                    match api.post_json("/api/user/register/", &body).await.status {
                        201 => acknowledged.push(email),
                        status => assert_eq!(status, 503),
                    }
                }
                acknowledged
            })
        })
        .collect();
    sleep(Duration::from_secs(3)).await;
    let postgres = container("postgres");
    printed(&docker(&["kill", &postgres]));
    killed.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    printed(&docker(&["start", &postgres]));
    is_healthy("postgres").await;
    is_healthy("auth-api").await;
    let counted = compose(&[
        "exec",
        "-T",
        "postgres",
        "psql",
        "-U",
        "postgres",
        "-d",
        "users",
        "-qAtc",
        "select email from users",
    ]);
    let stored = printed(&counted);
    let stored: std::collections::HashSet<&str> = stored.lines().collect();
    println!("Postgres killed: {} registrations were acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 20);
    assert!(acknowledged.iter().all(|email| stored.contains(email.as_str())), "an acknowledged account is lost");
}
