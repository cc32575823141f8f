//! Restarted and killed stores.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::containers::{STALENESS_MAX, compose, container, docker, printed, wait_until_healthy};
use crate::support::{Api, TestUser, registration};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_redis_restart_revokes_no_session() {
    let mut users = Vec::new();
    for _ in 0..20 {
        users.push(TestUser::new().await);
    }
    printed(&compose(&["restart", "redis"]));
    wait_until_healthy("redis").await;
    sleep(STALENESS_MAX).await;
    for user in users {
        user.me().await.expect_status(200);
        user.refresh().await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn a_killed_postgres_loses_no_acknowledged_account() {
    let killed = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let killed = Arc::clone(&killed);
            tokio::spawn(async move {
                let (api, mut acknowledged) = (Api::new(), Vec::new());
                while !killed.load(Ordering::Relaxed) {
                    let body = registration();
                    match api.post_json("/api/user/register/", &body).await.status {
                        201 => acknowledged.push(body["email"].as_str().unwrap().to_owned()),
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
    wait_until_healthy("postgres").await;
    wait_until_healthy("auth-api").await;
    let psql = ["exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "users", "-qAtc", "select email from users"];
    let stored = printed(&compose(&psql));
    let stored: HashSet<&str> = stored.lines().collect();
    println!("Postgres killed: {} acknowledged registrations", acknowledged.len());
    assert!(acknowledged.len() > 20);
    assert!(acknowledged.iter().all(|email| stored.contains(email.as_str())), "an acknowledged account is lost");
}
