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
    // `server.run` has the former password: one session changes it and disconnects the rest.
    server.run(&format!("alter role users password 'rotated'; {DISCONNECT}"));
    assert_unavailable("register", &register(&replica.api).await);
    files.write("password", "rotated\n");
    wait_until_recovered(&user).await;
    register(&replica.api).await.expect_status(201);
    // LISTEN, too: a change that is made in Postgres is seen.
    wait_until("notifications arrive", LISTENS_WITHIN, async || {
        replica.log().matches("notifications of user changes").count() == 1 && user.me().await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_of_redis_needs_no_restart() {
    let (server, files) = (RedisNode::start(None, "").await, Scratch::new());
    let password = files.write("password", RedisNode::PASSWORD);
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let replica = Replica::start(&[("REDIS_URL", &url), ("REDIS_PASSWORD_FILE", &password)]).await;
    let user = TestUser::at(&replica.api).await;
    files.write("password", "rotated\n");
    // The connection of this command stays authenticated; those of auth-api are closed by a script of one round trip.
    let kill =
        "redis.call('CONFIG', 'SET', 'requirepass', 'rotated'); return redis.call('CLIENT', 'KILL', 'TYPE', 'normal')";
    println!("{}", server.run(&["EVAL", kill, "0"]));
    wait_until_recovered(&user).await;
}
