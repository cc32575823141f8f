//! The images of a release on the schema of a later one, as after it was rolled back.

use crate::containers::{compose, printed, wait_until_healthy};
use crate::support::TestUser;

fn psql(sql: &str) {
    printed(&compose(&["exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "users", "-qAtc", sql]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn an_older_image_migrates_and_serves_on_a_later_schema() {
    psql(
        "alter table users add later text not null default 'x';
         insert into refinery_schema_history values (999, 'later', '2030-01-01T00:00:00Z', '1')",
    );
    printed(&compose(&["run", "--rm", "-T", "migrate"]));
    printed(&compose(&["restart", "auth-api"]));
    wait_until_healthy("auth-api").await;
    TestUser::new().await.me().await.expect_status(200);
    psql("alter table users drop later; delete from refinery_schema_history where version = 999");
}
