//! Limits of registrations and of probes of addresses, on replicas with limits of their own.

use serde_json::{Value, json};

use crate::endpoints::login_throttle::ipv4;
use crate::support::{Answer, Api, PASSWORD, Person, Replica, redis, send, stack, unique};

const PER_ADDRESS: usize = 3;
const PER_ACCOUNT: usize = 2;
const LIMITS: [(&str, &str); 2] = [("REGISTRATIONS_PER_ADDRESS", "3"), ("EMAIL_CHECKS_PER_ACCOUNT", "2")];

async fn register(api: &Api, address: &str, body: &Value) -> Answer {
    send(api.request("POST", "/api/user/register/").header("x-forwarded-for", address).json(body)).await
}

fn new_user() -> Value {
    json!({ "email": format!("{}@example.com", unique()), "full_name": "Ann Example", "password": PASSWORD })
}

async fn patch(api: &Api, address: &str, user: &Person, body: &Value) -> Answer {
    let request = api.request("PATCH", "/api/user/update/").header("x-forwarded-for", address);
    send(request.header("authorization", format!("JWT {}", user.access)).json(body)).await
}

/// Seconds to wait, of a 429.
#[track_caller]
fn assert_limited(answer: &Answer) -> u64 {
    let wait: u64 = answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{}", answer.text()));
    answer.expect(429, &json!({ "detail": format!("Request was throttled. Expected available in {wait} seconds.") }));
    assert!((1..=3600).contains(&wait), "{wait}");
    wait
}

/// Moves what is counted under `subject` into the past.
fn pass(subject: &str, seconds: u64) {
    for key in redis(stack(), &["--scan", "--pattern", &format!("limit:*{{{subject}}}")]).lines() {
        for id in redis(stack(), &["ZRANGE", key, "0", "-1"]).lines() {
            redis(stack(), &["ZINCRBY", key, &format!("-{}", seconds * 1000), id]);
        }
    }
}

#[tokio::test]
async fn registrations_from_one_address_are_limited_across_replicas_whatever_their_response() {
    let (one, other) = (Replica::start(&LIMITS).await, Replica::start(&LIMITS).await);
    let (here, there) = (ipv4(), ipv4());
    register(&one.api, &here, &new_user()).await.expect_status(201);
    register(&other.api, &here, &json!({})).await.expect_status(400);
    let user = Person::new().await;
    let taken = json!({ "email": user.email, "full_name": "Ann", "password": PASSWORD });
    register(&one.api, &here, &taken).await.expect_field("email", &["user with this email already exists."]);
    for replica in [&one, &other] {
        assert_limited(&register(&replica.api, &here, &new_user()).await);
        assert_limited(&register(&replica.api, &here, &taken).await);
    }
    register(&one.api, &there, &new_user()).await.expect_status(201);
    // A refused request does not count, so the wait is that of the oldest one that did.
    pass(&here, 3590);
    assert!(assert_limited(&register(&one.api, &here, &new_user()).await) <= 10);
    pass(&here, 10);
    register(&one.api, &here, &new_user()).await.expect_status(201);
}

#[tokio::test]
async fn of_parallel_registrations_no_more_than_the_limit_are_looked_at() {
    let (replica, address) = (Replica::start(&LIMITS).await, ipv4());
    let all: Vec<_> = (0..30)
        .map(|_| {
            let (api, address) = (replica.api.clone(), address.clone());
            tokio::spawn(async move { register(&api, &address, &new_user()).await.status })
        })
        .collect();
    let mut created = 0;
    for one in all {
        match one.await.unwrap() {
            201 => created += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(created, PER_ADDRESS);
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_share_the_limit() {
    let replica = Replica::start(&LIMITS).await;
    let network = format!("2001:db8:{}", &unique()[..4]);
    for host in 0..PER_ADDRESS {
        register(&replica.api, &format!("{network}:1::{host}"), &new_user()).await.expect_status(201);
    }
    assert_limited(&register(&replica.api, &format!("{network}:1:ffff::1"), &new_user()).await);
    register(&replica.api, &format!("{network}:2::1"), &new_user()).await.expect_status(201);
}

#[tokio::test]
async fn an_update_with_another_address_counts_by_account_and_changes_nothing_past_the_limit() {
    let replica = Replica::start(&LIMITS).await;
    let (user, other, address) = (Person::new().await, Person::new().await, ipv4());
    // Neither a probe: the account's own address, no address at all, and one that is none.
    for body in [json!({ "email": user.email.to_uppercase() }), json!({ "full_name": "Ann" })] {
        patch(&replica.api, &address, &user, &body).await.expect_status(200);
    }
    patch(&replica.api, &address, &user, &json!({ "email": "x" })).await.expect_status(400);
    for _ in 0..PER_ACCOUNT {
        let taken = patch(&replica.api, &address, &user, &json!({ "email": other.email })).await;
        taken.expect_field("email", &["user with this email already exists."]);
    }
    for body in [json!({ "email": other.email }), json!({ "email": unique() + "@example.com", "full_name": "New" })] {
        assert_limited(&patch(&replica.api, &ipv4(), &user, &body).await);
    }
    patch(&replica.api, &address, &user, &json!({ "full_name": "Ann" })).await.expect_status(200);
    let me = user.me().await.json();
    assert_eq!((me["email"].as_str(), me["full_name"].as_str()), (Some(user.email.as_str()), Some("Ann")));
}

#[tokio::test]
async fn updates_with_other_addresses_and_registrations_share_the_limit_of_the_client_address() {
    let (replica, address) = (Replica::start(&LIMITS).await, ipv4());
    for _ in 0..PER_ADDRESS {
        let user = Person::new().await;
        let email = json!({ "email": format!("{}@example.com", unique()) });
        patch(&replica.api, &address, &user, &email).await.expect_status(200);
    }
    assert_limited(&register(&replica.api, &address, &new_user()).await);
}

#[tokio::test]
async fn redis_holds_no_email_address_of_a_limit_and_its_keys_expire() {
    let (replica, user, address) = (Replica::start(&LIMITS).await, Person::new().await, ipv4());
    patch(&replica.api, &address, &user, &json!({ "email": format!("new-{}", user.email) })).await.expect_status(200);
    for key in [format!("limit:registrations:{{{address}}}"), format!("limit:email-checks:{{{}}}", user.id)] {
        let ttl: i64 = redis(stack(), &["PTTL", &key]).parse().unwrap();
        assert!((1..=3_600_000).contains(&ttl), "{key}: {ttl}");
    }
}
