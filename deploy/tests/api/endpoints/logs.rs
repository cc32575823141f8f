//! What the logs say, and never say.

use std::fs;

use serde_json::Value;

use crate::support::{Api, PASSWORD, Person, env_file, jpeg, send, unique};

#[tokio::test]
async fn each_answer_is_one_json_line_with_its_requests_id_and_nothing_about_a_person() {
    let person = Person::with_picture(&Api::new(), &jpeg()).await;
    let picture = person.picture().await.unwrap();
    let id = unique();
    for request in [
        person.api.request("GET", "/api/user/me/").header("authorization", format!("JWT {}", person.access)),
        person.api.request("GET", &picture),
        person.api.request("GET", &format!("/api/user/{}?token={}", person.email, person.access)),
        person
            .api
            .request("POST", "/api/user/login/")
            .json(&serde_json::json!({ "email": person.email, "password": PASSWORD })),
    ] {
        send(request.header("x-request-id", &id)).await;
    }
    // nginx writes its log once a second.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let logs = env_file().with_file_name("logs");
    let mut answered = [0; 3];
    for (service, count) in ["auth-api", "media-server", "nginx"].iter().zip(&mut answered) {
        let text = fs::read_to_string(logs.join(format!("{service}.log"))).unwrap();
        let name = picture.rsplit('/').next().unwrap();
        for secret in
            [person.email.as_str(), PASSWORD, &person.access, &person.refresh, name, &name[..32], "Ann Example"]
        {
            assert!(!text.contains(secret), "{service} logs {secret}");
        }
        for line in text.lines().filter(|line| line.contains(&id)) {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            assert_eq!(line["request_id"], Value::from(id.as_str()));
            assert!(line["status"].is_number() && line["route"].is_string() && line["method"].is_string());
            *count += 1;
        }
    }
    assert_eq!(answered, [3, 1, 4]);
}
