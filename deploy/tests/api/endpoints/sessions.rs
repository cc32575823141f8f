//! `/api/user/sessions/` and `POST /api/user/logout/`.

use serde_json::{Value, json};

use crate::support::{Answer, Api, Person, redis, send, stack};

const PATH: &str = "/api/user/sessions/";

async fn delete(person: &Person, path: &str) -> Answer {
    let request = person.api.request("DELETE", path).header("authorization", format!("JWT {}", person.access));
    send(request).await
}

async fn list(person: &Person) -> Vec<Value> {
    let answer = person.api.get_as(PATH, &person.access).await;
    answer.expect_status(200).json().as_array().expect("a list").clone()
}

async fn logout(api: &Api, refresh: &str) -> Answer {
    api.post_json("/api/user/logout/", &json!({ "refresh": refresh })).await
}

/// Somebody with this many sessions, the first of them first.
async fn person_with_sessions(count: usize) -> Vec<Person> {
    let mut all = vec![Person::new().await];
    for _ in 1..count {
        all.push(Person::sign_in(&all[0].api, &all[0].email).await);
    }
    all
}

#[tokio::test]
async fn the_list_says_where_somebody_is_signed_in() {
    let people = person_with_sessions(2).await;
    let sessions = list(&people[1]).await;
    assert_eq!(sessions.len(), 2);
    let names: Vec<&String> = sessions[0].as_object().unwrap().keys().collect();
    let mut expected = ["id", "created_at", "last_used_at", "ip", "user_agent", "current"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    for person in &people {
        let own = sessions.iter().find(|session| session["id"] == person.sid()).expect("each session is listed");
        assert_eq!(own["current"], json!(person.sid() == people[1].sid()));
        for time in ["created_at", "last_used_at"] {
            let time = own[time].as_str().unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 20, "{time}");
        }
        assert!(own["ip"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok());
    }
    redis(stack(), &["HSET", &people[0].session_key(), "last_used_at", "4000000000"]);
    let answer = people[0].refresh().await.expect_status(200).json();
    let again = Person { access: answer["access"].as_str().unwrap().to_owned(), ..people[0].clone() };
    let first = list(&again).await[0].clone();
    assert_ne!(first["last_used_at"], "2096-10-02T07:06:40Z", "a refresh notes its use");
}

#[tokio::test]
async fn one_ended_session_ends_alone_and_at_once() {
    let people = person_with_sessions(3).await;
    delete(&people[0], &format!("{PATH}{}/", people[1].sid())).await.expect_status(204);
    people[1].me().await.expect_unauthorized();
    people[1].refresh().await.expect_unauthorized();
    people[0].me().await.expect_status(200);
    people[2].me().await.expect_status(200);
    assert_eq!(list(&people[0]).await.len(), 2);
    // Its own, too.
    delete(&people[0], &format!("{PATH}{}", people[0].sid())).await.expect_status(204);
    people[0].me().await.expect_unauthorized();
}

#[tokio::test]
async fn the_others_end_and_the_one_that_asks_goes_on() {
    let people = person_with_sessions(3).await;
    let stranger = Person::new().await;
    delete(&people[1], PATH).await.expect_status(204);
    delete(&people[1], PATH).await.expect_status(204);
    people[0].me().await.expect_unauthorized();
    people[2].refresh().await.expect_unauthorized();
    people[1].me().await.expect_status(200);
    people[1].refresh().await.expect_status(200);
    stranger.me().await.expect_status(200);
}

#[tokio::test]
async fn what_is_no_session_of_the_caller_is_not_found() {
    let (person, stranger) = (Person::new().await, Person::new().await);
    for id in [stranger.sid(), person.id.clone(), "x".to_owned(), "%20".to_owned(), "a".repeat(1000)] {
        let answer = delete(&person, &format!("{PATH}{id}/")).await;
        answer.expect(404, &json!({ "detail": "Not found." }));
    }
    stranger.me().await.expect_status(200);
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_so_before_the_method() {
    let api = Api::new();
    for (method, path) in [
        ("GET", PATH),
        ("DELETE", PATH),
        ("PUT", PATH),
        ("DELETE", "/api/user/sessions/x"),
        ("GET", "/api/user/sessions/x"),
    ] {
        send(api.request(method, path)).await.expect_unauthorized();
    }
    let person = Person::new().await;
    let put = person.api.request("PUT", PATH).header("authorization", format!("JWT {}", person.access));
    let answer = send(put).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, DELETE, HEAD, OPTIONS"));
    assert_eq!(send(api.request("OPTIONS", PATH)).await.status, 204);
}

#[tokio::test]
async fn logging_out_ends_the_session_of_the_refresh_token_however_often() {
    let people = person_with_sessions(2).await;
    let answer = logout(&people[0].api, &people[0].refresh).await;
    assert_eq!((answer.status, answer.bytes.len()), (204, 0));
    people[0].me().await.expect_unauthorized();
    people[0].refresh().await.expect_unauthorized();
    logout(&people[0].api, &people[0].refresh).await.expect_status(204);
    people[1].me().await.expect_status(200);
    // A token that was changed for another is of the session, too.
    people[1].refresh().await.expect_status(200);
    logout(&people[1].api, &people[1].refresh).await.expect_status(204);
    people[1].me().await.expect_unauthorized();
}

#[tokio::test]
async fn logging_out_takes_a_refresh_token_and_nothing_else() {
    let person = Person::new().await;
    logout(&person.api, &person.access).await.expect_unauthorized();
    logout(&person.api, "x").await.expect_unauthorized();
    person.api.post_json("/api/user/logout/", &json!({})).await.expect_field("refresh", &["This field is required."]);
    assert_eq!(person.api.get("/api/user/logout/").await.status, 405);
    person.me().await.expect_status(200);
}

#[tokio::test]
async fn of_more_than_fifty_sessions_the_least_recently_used_one_ends() {
    let person = Person::new().await;
    let index = format!("sessions:{{{}}}", person.id);
    // As if it had signed in 49 times more: the sessions of even numbers are over by an operator's hand.
    let mut keys = Vec::new();
    for number in 0..49 {
        let sid = format!("00000000-0000-4000-8000-{number:012}");
        let key = format!("session:{{{}}}:{sid}", person.id);
        redis(stack(), &["ZADD", &index, &(1000 + number).to_string(), &sid]);
        if number % 2 == 1 {
            redis(stack(), &["HSET", &key, "refresh", "x"]);
        }
        keys.push(key);
    }
    Person::sign_in(&person.api, &person.email).await;
    let exists = |key: &str| redis(stack(), &["EXISTS", key]) == "1";
    assert!(exists(&keys[1]), "sessions that are over do not count");
    assert_eq!(redis(stack(), &["ZCARD", &index]), "26");
    for number in 0..25 {
        let sid = format!("00000000-0000-4000-8000-{:012}", number * 2);
        redis(stack(), &["ZADD", &index, &(2000 + number).to_string(), &sid]);
        redis(stack(), &["HSET", &format!("session:{{{}}}:{sid}", person.id), "refresh", "x"]);
    }
    redis(stack(), &["DEL", &keys[0]]);
    redis(stack(), &["ZREM", &index, "00000000-0000-4000-8000-000000000000"]);
    assert_eq!(redis(stack(), &["ZCARD", &index]), "50");
    let newest = Person::sign_in(&person.api, &person.email).await;
    assert!(!exists(&keys[1]) && exists(&keys[3]), "the least recently used one ends, and no other");
    assert_eq!(redis(stack(), &["ZCARD", &index]), "50");
    person.me().await.expect_status(200);
    newest.me().await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_who_sign_in_at_once_leave_fifty_sessions() {
    let person = Person::new().await;
    let all: Vec<_> = (0..60)
        .map(|_| {
            let person = person.clone();
            tokio::spawn(async move { Person::sign_in(&person.api, &person.email).await })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    let keys = redis(stack(), &["--scan", "--pattern", &format!("session:{{{}}}:*", person.id)]);
    assert_eq!(keys.lines().count(), 50);
}

#[tokio::test]
async fn a_lost_or_spoilt_index_hides_sessions_and_ends_none() {
    let people = person_with_sessions(2).await;
    let index = format!("sessions:{{{}}}", people[0].id);
    redis(stack(), &["DEL", &index]);
    assert_eq!(list(&people[0]).await.len(), 0);
    people[0].me().await.expect_status(200);
    people[0].refresh().await.expect_status(200);
    assert_eq!(list(&people[1]).await.len(), 1, "a refresh lists the session again");
    redis(stack(), &["ZADD", &index, "1", "no id"]);
    redis(stack(), &["SET", &format!("session:{{{}}}:no id", people[0].id), "no session"]);
    assert_eq!(list(&people[1]).await.len(), 1);
    delete(&people[1], PATH).await.expect_status(204);
    people[1].me().await.expect_status(200);
}
