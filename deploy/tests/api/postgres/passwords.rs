//! Passwords in files are read at each new connection.

use std::time::Duration;

use crate::support::{
    PostgresNode, RedisNode, Replica, Scratch, TestUser, assert_unavailable, register, wait_until, wait_until_recovered,
};

/// Terminates all other connections.
const DISCONNECT: &str = "select pg_terminate_backend(pid) from pg_stat_activity
                          where application_name = 'auth-api' and pid <> pg_backend_pid()";

const LISTENS_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_of_postgres_needs_no_restart() {
    let (server, files) = (PostgresNode::start(None).await, Scratch::new());
    let password = files.write("password", PostgresNode::PASSWORD);
    let url = server.url().replace(&format!(":{}@", PostgresNode::PASSWORD), "@");
    let replica = Replica::start(&[("DATABASE_URL", &url), ("DATABASE_PASSWORD_FILE", &password)]).await;
    let user = TestUser::at(&replica.api).await;
    server.run(&format!("begin; alter role users password 'rotated'; commit; {DISCONNECT}"));
    assert_unavailable("register", &register(&replica.api).await);
    files.write("password", "rotated\n");
    wait_until_recovered(&user).await;
    register(&replica.api).await.expect_status(201);
    let listens = "select count(*) from pg_stat_activity where query like 'select pg_notify(%'";
    wait_until("LISTEN, too", LISTENS_WITHIN, async || server.run_as("rotated", listens) == "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_of_redis_needs_no_restart() {
    let (server, files) = (RedisNode::start(None, "").await, Scratch::new());
    let password = files.write("password", RedisNode::PASSWORD);
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let replica = Replica::start(&[("REDIS_URL", &url), ("REDIS_PASSWORD_FILE", &password)]).await;
    let user = TestUser::at(&replica.api).await;
    files.write("password", "rotated\n");
    // One connection: it stays authenticated.
    server.run_lines("CONFIG SET requirepass rotated\nCLIENT KILL TYPE normal SKIPME yes\n");
    wait_until_recovered(&user).await;
}
