//! The access logs, and that no log holds personal data or secrets.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Api, PASSWORD, TestUser, env_file, jpeg, send, unique, wait_until};

const SERVICES: [&str; 3] = ["auth-api", "media-server", "nginx"];

/// nginx flushes its log once a second, in containers `docker logs` follows.
const LOGGED_WITHIN: Duration = Duration::from_secs(10);

fn log_of(service: &str) -> String {
    fs::read_to_string(env_file().with_file_name("logs").join(format!("{service}.log"))).unwrap()
}

#[tokio::test]
async fn each_response_is_one_json_line_with_its_request_id_and_without_personal_data() {
    let user = TestUser::with_picture(&Api::new(), &jpeg()).await;
    let picture = user.picture().await.unwrap();
    let id = unique();
    for request in [
        user.request("GET", "/api/user/me/"),
        user.api.request("GET", &picture),
        user.api.request("GET", &format!("/api/user/{}?token={}", user.email, user.access)),
        user.api.request("POST", "/api/user/login/").json(&json!({ "email": user.email, "password": PASSWORD })),
    ] {
        send(request.header("x-request-id", &id)).await;
    }
    let counts = || SERVICES.map(|service| log_of(service).lines().filter(|line| line.contains(&id)).count());
    wait_until("the responses are logged", LOGGED_WITHIN, async || counts().iter().sum::<usize>() >= 8).await;
    assert_eq!(counts(), [3, 1, 4]);
    let name = picture.rsplit('/').next().unwrap();
    for service in SERVICES {
        let log = log_of(service);
        for secret in [user.email.as_str(), PASSWORD, &user.access, &user.refresh, name, &name[..32], "Ann Example"] {
            assert!(!log.contains(secret), "{service} logs {secret}");
        }
        for line in log.lines().filter(|line| line.contains(&id)) {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            assert_eq!(line["request_id"], json!(id));
            assert!(line["status"].is_number() && line["route"].is_string() && line["method"].is_string());
        }
    }
}
