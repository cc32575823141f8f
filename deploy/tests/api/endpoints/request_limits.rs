//! Rate limits of registrations and of e-mail changes, on replicas with low limits.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Api, PASSWORD, Replica, Response, TestUser, assert_throttled, ipv4, move_back, redis, registration, send, stack,
    unique, unique_email,
};

const PER_ADDRESS: usize = 3;
const PER_ACCOUNT: usize = 2;
const LIMITS: [(&str, &str); 2] = [("REGISTRATIONS_PER_ADDRESS", "3"), ("EMAIL_CHECKS_PER_ACCOUNT", "2")];
const WINDOW_SECONDS: u64 = 3600;
const TAKEN: &str = "user with this email already exists.";

async fn register(api: &Api, address: &str, body: &Value) -> Response {
    send(api.request("POST", "/api/user/register/").header("x-forwarded-for", address).json(body)).await
}

async fn patch(api: &Api, address: &str, user: &TestUser, body: &Value) -> Response {
    let request = api.request_as(&user.access, "PATCH", "/api/user/update/");
    send(request.header("x-forwarded-for", address).json(body)).await
}

#[tokio::test]
async fn registrations_per_address_are_limited_across_replicas_and_count_with_any_status() {
    let (one, other) = (Replica::start(&LIMITS).await, Replica::start(&LIMITS).await);
    let (here, there) = (ipv4(), ipv4());
    register(&one.api, &here, &registration()).await.expect_status(201);
    register(&other.api, &here, &json!({})).await.expect_status(400);
    let user = TestUser::new().await;
    let taken = json!({ "email": user.email, "full_name": "Ann", "password": PASSWORD });
    register(&one.api, &here, &taken).await.expect_field("email", &[TAKEN]);
    for replica in [&one, &other] {
        for body in [&registration(), &taken] {
            assert_throttled(&register(&replica.api, &here, body).await, WINDOW_SECONDS);
        }
    }
    register(&one.api, &there, &registration()).await.expect_status(201);
    // A throttled request does not count: the wait is until the oldest counted one leaves the window.
    let windows = format!("limit:*{{{here}}}");
    move_back(&windows, WINDOW_SECONDS - 10);
    assert_throttled(&register(&one.api, &here, &registration()).await, 10);
    move_back(&windows, 10);
    register(&one.api, &here, &registration()).await.expect_status(201);
}

#[tokio::test]
async fn concurrent_registrations_do_not_exceed_the_limit() {
    let (replica, address) = (Replica::start(&LIMITS).await, ipv4());
    let bodies: Vec<_> = (0..30).map(|_| registration()).collect();
    let responses = join_all(bodies.iter().map(|body| register(&replica.api, &address, body))).await;
    let (created, throttled): (Vec<_>, Vec<_>) = responses.iter().partition(|response| response.status == 201);
    assert_eq!(created.len(), PER_ADDRESS);
    assert!(throttled.iter().all(|response| response.status == 429));
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_share_the_limit() {
    let replica = Replica::start(&LIMITS).await;
    let network = format!("2001:db8:{}", &unique()[..4]);
    for host in 0..PER_ADDRESS {
        register(&replica.api, &format!("{network}:1::{host}"), &registration()).await.expect_status(201);
    }
    let response = register(&replica.api, &format!("{network}:1:ffff::1"), &registration()).await;
    assert_throttled(&response, WINDOW_SECONDS);
    register(&replica.api, &format!("{network}:2::1"), &registration()).await.expect_status(201);
}

#[tokio::test]
async fn email_changes_are_limited_per_account_and_a_throttled_update_changes_nothing() {
    let replica = Replica::start(&LIMITS).await;
    let (user, other, address) = (TestUser::new().await, TestUser::new().await, ipv4());
    // No checks of whether an e-mail is taken: the account's own, none, and an invalid one.
    for body in [json!({ "email": user.email.to_uppercase() }), json!({ "full_name": "Ann" })] {
        patch(&replica.api, &address, &user, &body).await.expect_status(200);
    }
    patch(&replica.api, &address, &user, &json!({ "email": "x" })).await.expect_status(400);
    for _ in 0..PER_ACCOUNT {
        let taken = patch(&replica.api, &address, &user, &json!({ "email": other.email })).await;
        taken.expect_field("email", &[TAKEN]);
    }
    for body in [json!({ "email": other.email }), json!({ "email": unique_email(), "full_name": "New" })] {
        assert_throttled(&patch(&replica.api, &ipv4(), &user, &body).await, WINDOW_SECONDS);
    }
    patch(&replica.api, &address, &user, &json!({ "full_name": "Ann" })).await.expect_status(200);
    let me = user.me().await.json();
    assert_eq!((me["email"].as_str(), me["full_name"].as_str()), (Some(user.email.as_str()), Some("Ann")));
}

#[tokio::test]
async fn email_changes_and_registrations_share_the_limit_of_the_client_address() {
    let (replica, address) = (Replica::start(&LIMITS).await, ipv4());
    for _ in 0..PER_ADDRESS {
        let user = TestUser::new().await;
        patch(&replica.api, &address, &user, &json!({ "email": unique_email() })).await.expect_status(200);
    }
    assert_throttled(&register(&replica.api, &address, &registration()).await, WINDOW_SECONDS);
}

#[tokio::test]
async fn counters_of_limits_hold_no_email_address_and_expire() {
    let (replica, user, address) = (Replica::start(&LIMITS).await, TestUser::new().await, ipv4());
    patch(&replica.api, &address, &user, &json!({ "email": format!("new-{}", user.email) })).await.expect_status(200);
    for key in [format!("limit:registrations:{{{address}}}"), format!("limit:email-checks:{{{}}}", user.id)] {
        let ttl: u64 = redis(stack(), &["PTTL", &key]).parse().unwrap();
        assert!((1..=WINDOW_SECONDS * 1000).contains(&ttl), "{key}: {ttl}");
    }
}
