//! `kill -9` at random moments: in the end every user has their picture, and every picture an owner.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use deploy::Service;
use image::ImageFormat;
use tokio::time::sleep;

use crate::support::{
    Form, OwnStack, TestUser, drawn, files_below, postgres, registration_form, unique_email, wait_until,
};

/// The shortest grace period that the other limits allow.
const SETTINGS: [(&str, &str); 5] = [
    ("MEDIA_TIMEOUT_SECONDS", "1"),
    ("STORE_TIMEOUT_SECONDS", "1"),
    ("UPLOAD_GRACE_SECONDS", "4"),
    ("SWEEP_INTERVAL_SECONDS", "1"),
    ("LOG_LEVEL", "debug"),
];

/// The grace period of the last upload, a sweep after it, and the pause after a failed deletion.
const RECONCILED_WITHIN: Duration = Duration::from_secs(45);

/// The picture ids of all files below a directory.
fn stored(directory: &Path) -> BTreeSet<String> {
    let id = |path: &Path| path.file_name()?.to_str()?.split('.').next().map(ToOwned::to_owned);
    files_below(directory).iter().filter_map(|path| id(path)).collect()
}

fn owned(stack: &OwnStack) -> BTreeSet<String> {
    let names =
        postgres(stack.env(), "select split_part(profile_pic, '.', 1) from users where profile_pic is not null");
    names.lines().map(ToOwned::to_owned).collect()
}

/// Kills `part` at twenty moments of a concurrent registration and update, both with a picture.
async fn assert_pictures_survive_kills_of(part: Service) {
    let stack = OwnStack::start(&SETTINGS);
    let (api, pictures) = (&stack.api, stack.data.join("pictures"));
    let user = TestUser::with_picture(api, &drawn(ImageFormat::Jpeg, 50, 50)).await;
    let picture = drawn(ImageFormat::Png, 60, 60);
    let mut acknowledged = Vec::new();
    for round in 0..20_u64 {
        let email = unique_email();
        let form = registration_form(&email).file("profile_pic", "a.png", "image/png", &picture);
        let registering = tokio::spawn(form.attach(api.request("POST", "/api/user/register/")).send());
        let form = Form::new().file("profile_pic", "a", "image/png", &drawn(ImageFormat::Png, 40, 40));
        let updating = tokio::spawn(form.attach(user.request("PUT", "/api/user/update/")).send());
        sleep(Duration::from_millis(2 + round * 3)).await;
        stack.kill(part).unwrap();
        let registered = registering.await.unwrap();
        let _ = updating.await.unwrap();
        stack.restart(part).unwrap();
        if registered.is_ok_and(|response| response.status() == 201) {
            acknowledged.push(email);
        }
    }
    for email in &acknowledged {
        let user = TestUser::sign_in(api, email).await;
        assert!(user.picture().await.is_some(), "an acknowledged registration lost its picture");
    }
    let is_reconciled = async || {
        let (stored, owned) = (stored(&pictures), owned(&stack));
        assert!(owned.is_subset(&stored), "users without their picture: {:?}", owned.difference(&stored));
        stored == owned
    };
    wait_until("no picture is without an owner", RECONCILED_WITHIN, is_reconciled).await;
    for name in postgres(stack.env(), "select profile_pic from users where profile_pic is not null").lines() {
        assert_eq!(api.get(&format!("/api/user/media/{name}")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_auth_api_loses_no_picture_and_leaves_no_orphan() {
    assert_pictures_survive_kills_of(Service::AuthApi).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_media_server_loses_no_picture_and_leaves_no_orphan() {
    assert_pictures_survive_kills_of(Service::MediaServer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_loses_no_picture_and_leaves_no_orphan() {
    assert_pictures_survive_kills_of(Service::Postgres).await;
}
