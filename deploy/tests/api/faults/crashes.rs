//! `kill -9` at any moment: no user without its picture, no picture without a user after the sweep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deploy::{Options, Part, Stack};
use image::ImageFormat;

use tokio::time::Instant;

use crate::support::{Api, Form, PASSWORD, Person, drawn, postgres, unique};

/// The shortest grace that the other limits allow.
const SETTINGS: [(&str, &str); 5] = [
    ("MEDIA_TIMEOUT_SECONDS", "1"),
    ("STORE_TIMEOUT_SECONDS", "1"),
    ("UPLOAD_GRACE_SECONDS", "4"),
    ("SWEEP_INTERVAL_SECONDS", "1"),
    ("LOG_LEVEL", "debug"),
];

/// The ids of all files below a directory.
fn stored(directory: &Path) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut left: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                ids.insert(path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned());
            }
        }
    }
    ids
}

fn owned(stack: &Stack) -> BTreeSet<String> {
    let names =
        postgres(stack.env(), "select split_part(profile_pic, '.', 1) from users where profile_pic is not null");
    names.lines().map(ToOwned::to_owned).collect()
}

async fn register(api: Api, email: String) -> Option<u16> {
    let form = Form::new().text("email", &email).text("full_name", "Ann").text("password", PASSWORD);
    let form = form.file("profile_pic", "a.png", "image/png", &drawn(ImageFormat::Png, 60, 60));
    let (content_type, body) = form.finish();
    let request = api.request("POST", "/api/user/register/").header("content-type", content_type).body(body);
    Some(request.send().await.ok()?.status().as_u16())
}

/// Kills `part` at twenty moments of a registration with a picture, and of an update.
async fn survives_kills_of(part: Part) {
    let mut options = Options::scratch().unwrap();
    for (name, value) in SETTINGS {
        options = options.with(name, value);
    }
    let pictures = options.data.join("pictures");
    let stack = Stack::start(options).unwrap();
    let api = Api::at(&stack.env().base);
    let veteran = Person::with_picture(&api, &drawn(ImageFormat::Jpeg, 50, 50)).await;
    let mut acknowledged = Vec::new();
    for round in 0..20_u64 {
        let email = format!("{}@example.com", unique());
        let registering = tokio::spawn(register(api.clone(), email.clone()));
        let updating = {
            let (api, access) = (api.clone(), veteran.access.clone());
            tokio::spawn(async move {
                let form = Form::new().file("profile_pic", "a", "image/png", &drawn(ImageFormat::Png, 40, 40));
                let (content_type, body) = form.finish();
                let request = api.request("PUT", "/api/user/update/").header("authorization", format!("JWT {access}"));
                let _ = request.header("content-type", content_type).body(body).send().await;
            })
        };
        tokio::time::sleep(Duration::from_millis(2 + round * 3)).await;
        stack.kill(part).unwrap();
        let status = registering.await.unwrap();
        updating.await.unwrap();
        stack.restart(part).unwrap();
        if status == Some(201) {
            acknowledged.push(email);
        }
    }
    for email in &acknowledged {
        let person = Person::sign_in(&api, email).await;
        assert!(person.picture().await.is_some(), "an acknowledged registration lost its picture");
    }
    // The grace of the last upload, a sweep after it, and the pause after a delete that failed.
    let until = Instant::now() + Duration::from_secs(45);
    while stored(&pictures) != owned(&stack) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (stored, owned) = (stored(&pictures), owned(&stack));
    assert!(owned.is_subset(&stored), "users without their picture: {:?}", owned.difference(&stored));
    assert!(stored.is_subset(&owned), "pictures without an owner: {:?}", stored.difference(&owned));
    for name in postgres(stack.env(), "select profile_pic from users where profile_pic is not null").lines() {
        assert_eq!(api.get(&format!("/api/user/media/{name}")).await.status, 200);
    }
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_auth_api_leaves_no_user_without_picture_and_no_picture_without_user() {
    survives_kills_of(Part::AuthApi).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_media_server_leaves_no_user_without_picture_and_no_picture_without_user() {
    survives_kills_of(Part::MediaServer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_leaves_no_user_without_picture_and_no_picture_without_user() {
    survives_kills_of(Part::Postgres).await;
}
