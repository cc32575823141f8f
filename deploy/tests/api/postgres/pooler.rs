//! `PgBouncer` in transaction mode, of the version that Debian has: without prepared statements of the protocol.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::postgres::check;
use crate::support::{
    PASSWORD, PgBouncer, PostgresNode, Replica, TestUser, assert_unavailable, auth_api_command, wait_until,
};

/// More than the pooler has connections to Postgres.
const USERS: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn every_request_works_through_a_pooler_in_transaction_mode() {
    let server = PostgresNode::start(None).await;
    let pooler = PgBouncer::start(&server, "").await;
    let migrated = auth_api_command(&["migrate"], &[("DATABASE_URL", &pooler.url())]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let settings = [("DATABASE_URL", &*pooler.url()), ("DATABASE_LISTEN_URL", &*server.url())];
    let replicas = [Replica::start(&settings).await, Replica::start(&settings).await];
    let users = join_all((0..USERS).map(|at| TestUser::at(&replicas[at % 2].api))).await;
    for round in 0..3 {
        join_all(users.iter().enumerate().map(async |(at, user)| {
            let user = user.via(&replicas[(at + round) % 2].api);
            user.me().await.expect_status(200);
            user.update(&json!({ "full_name": format!("Name {round}") })).await.expect_status(200);
            assert_eq!(user.me().await.json()["full_name"], format!("Name {round}"));
            TestUser::login(&user.api, &user.email, PASSWORD).await.expect_status(200);
            user.refresh().await.expect_status(200);
        }))
        .await;
    }
    assert!(replicas.iter().all(|replica| !replica.log().contains("no notifications")), "{}", replicas[0].log());
}

/// The limit of a statement holds, and leaves no trace on the pooler's connections.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_statement_holds_through_a_pooler() {
    let server = PostgresNode::start(None).await;
    let pooler = PgBouncer::start(&server, "").await;
    let replica = Replica::start(&[("DATABASE_URL", &pooler.url())]).await;
    let user = TestUser::at(&replica.api).await;
    let lock = format!("begin; select from users where id = '{}' for update; select pg_sleep(5); commit", user.id);
    let locked = std::thread::spawn({
        let url = server.url();
        move || std::process::Command::new("psql").arg(url).args(["-qAtXc", &lock]).output().unwrap()
    });
    let waits = "select count(*) from pg_stat_activity where query like '%pg_sleep(5)%' and pid <> pg_backend_pid()";
    wait_until("the row is locked", Duration::from_secs(5), async || server.run(waits) != "0").await;
    assert_unavailable("update", &user.update(&json!({ "full_name": "X" })).await);
    let blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    wait_until("no statement waits", Duration::from_secs(2), async || server.run(blocked) == "0").await;
    locked.join().unwrap();
    user.update(&json!({ "full_name": "X" })).await.expect_status(200);
}

/// Without a URL for LISTEN the cache is bounded by its lease, so requests are right all the same.
#[tokio::test(flavor = "multi_thread")]
async fn check_names_that_notifications_do_not_work_through_a_pooler() {
    let server = PostgresNode::start(None).await;
    for (settings, limit_is_missing) in [("", false), ("ignore_startup_parameters = options", true)] {
        let pooler = PgBouncer::start(&server, settings).await;
        let url = pooler.url();
        let printed = check(&url);
        assert!(printed.contains("DATABASE_LISTEN_URL") && printed.contains("MEDIA_URL"), "{printed}");
        assert_eq!(printed.contains("ignore_startup_parameters"), limit_is_missing, "{printed}");
        let replica = Replica::start(&[("DATABASE_URL", &url)]).await;
        let user = TestUser::at(&replica.api).await;
        user.me().await.expect_status(200);
        server.run(&format!("update users set disabled_at = now() where id = '{}'", user.id));
        wait_until("the user is disabled", Duration::from_secs(2), async || user.me().await.status == 401).await;
    }
}
