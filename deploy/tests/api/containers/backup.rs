//! A back-up of the stack, restored into an empty one.

use std::time::Duration;

use crate::containers::{compose, compose_with, printed, script, setting, wait_until_healthy};
use crate::support::{Api, Scratch, TestUser, jpeg, wait_until};

/// The other stack, which is removed when this is dropped.
struct OtherStack {
    name: String,
    port: String,
}

impl OtherStack {
    fn settings(&self) -> [(&str, &str); 2] {
        [("COMPOSE_PROJECT_NAME", &self.name), ("PORT", &self.port)]
    }
}

impl Drop for OtherStack {
    fn drop(&mut self) {
        let _ = compose_with(&self.settings(), &["down", "--volumes"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deploy/test-containers"]
async fn users_pictures_keys_and_sessions_are_restored_into_an_empty_stack() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let scratch = Scratch::new();
    let directory = scratch.path().join("back-up").display().to_string();
    println!("{}", printed(&script(&[], "backup", &["save", &directory])));
    let again = script(&[], "backup", &["save", &directory]);
    assert!(!again.status.success(), "an existing back-up was overwritten");
    let refused = script(&[], "backup", &["restore", &directory]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("users: restore into a new one"), "{refused:?}");
    // After the back-up, the user signs out here.
    compose(&["exec", "-T", "redis", "redis-cli", "DEL", &user.session_key()]);

    let port = deploy::ports::free().unwrap();
    let other =
        OtherStack { name: format!("{}-restored", setting("COMPOSE_PROJECT_NAME")), port: format!("127.0.0.1:{port}") };
    printed(&compose_with(&other.settings(), &["up", "-d"]));
    let api = Api::at(&format!("http://127.0.0.1:{port}"));
    let is_ready = async || api.get("/health").await.status == 200;
    wait_until("the other stack is ready", Duration::from_mins(1), is_ready).await;
    printed(&script(&other.settings(), "backup", &["restore", &directory]));
    wait_until("the other stack is ready", Duration::from_mins(1), is_ready).await;
    let restored = user.via(&api);
    restored.me().await.expect_status(200);
    restored.refresh().await.expect_status(200);
    let picture = restored.picture().await.expect("the picture's link");
    let path = &picture[picture.find("/api/").unwrap()..];
    assert_eq!(api.get(path).await.status, 200);
    wait_until_healthy("auth-api").await;
}
