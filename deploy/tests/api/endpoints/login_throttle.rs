//! Failed logins: how many passwords may be tried. Each test has addresses of its own, which auth-api believes a proxy.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::random::Random;

use crate::support::{Answer, Api, PASSWORD, Person, Replica, redis, send, stack};

/// The default of `LOGIN_FAILURES_PER_ACCOUNT`.
pub const PER_ACCOUNT: usize = 10;

const WRONG: &str = "another phrase";

/// Past nginx, which would tell where a request really comes from.
fn direct() -> Api {
    Api::at(&stack().auth_api)
}

/// The first half of an IPv6 address that no other test has.
fn network() -> String {
    let [a, b, c, d] = Random::system().bytes();
    format!("2001:db8:{a:x}{b:02x}:{c:x}{d:02x}")
}

pub fn ipv4() -> String {
    let [a, b, c] = Random::system().bytes();
    format!("10.{a}.{b}.{c}")
}

pub async fn login(api: &Api, address: &str, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    send(api.request("POST", "/api/user/login/").header("x-forwarded-for", address).json(&body)).await
}

/// So many wrong passwords, one after the other.
async fn guess(api: &Api, address: &str, email: &str, times: usize) {
    for time in 0..times {
        assert_eq!(login(api, address, email, WRONG).await.status, 400, "guess {time}");
    }
}

/// So many wrong passwords at once: as many are looked at as may fail, and the others told to wait.
pub async fn guess_at_once(api: &Api, address: &str, email: &str, times: usize) {
    let all: Vec<_> = (0..times)
        .map(|_| {
            let (api, email, address) = (api.clone(), email.to_owned(), address.to_owned());
            tokio::spawn(async move { login(&api, &address, &email, WRONG).await })
        })
        .collect();
    let mut looked_at = 0;
    for one in all {
        let answer = one.await.unwrap();
        if answer.status == 400 {
            looked_at += 1;
        } else {
            is_throttled(&answer);
        }
    }
    assert_eq!(looked_at, PER_ACCOUNT);
}

#[track_caller]
pub fn is_throttled(answer: &Answer) -> u64 {
    let wait: u64 = answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{}", answer.text()));
    answer.expect(429, &json!({ "detail": format!("Request was throttled. Expected available in {wait} seconds.") }));
    assert!((1..=900).contains(&wait), "{wait}");
    wait
}

/// The sets of failed tries of a network's subjects, by key, with their sizes.
fn failures(network: &str) -> BTreeMap<String, u64> {
    let keys = redis(stack(), &["--scan", "--pattern", &format!("login:failed:*{network}*")]);
    keys.lines().map(|key| (key.to_owned(), redis(stack(), &["ZCARD", key]).parse().unwrap())).collect()
}

/// Lets time pass for all that is counted of a network.
fn pass(network: &str, seconds: u64) {
    for key in failures(network).keys() {
        for try_id in redis(stack(), &["ZRANGE", key, "0", "-1"]).lines() {
            redis(stack(), &["ZINCRBY", key, &format!("-{}", seconds * 1000), try_id]);
        }
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_block_the_account_from_this_address_and_from_no_other() {
    let (api, person) = (direct(), Person::new().await);
    let (here, there) = (ipv4(), ipv4());
    guess(&api, &here, &person.email, PER_ACCOUNT).await;
    is_throttled(&login(&api, &here, &person.email, WRONG).await);
    is_throttled(&login(&api, &here, &format!(" {} ", person.email.to_uppercase()), PASSWORD).await);
    login(&api, &there, &person.email, PASSWORD).await.expect_status(200);
    is_throttled(&login(&api, &here, &person.email, PASSWORD).await);
    let colleague = Person::new().await;
    login(&api, &here, &colleague.email, PASSWORD).await.expect_status(200);
    person.me().await.expect_status(200);
}

#[tokio::test]
async fn an_account_that_nobody_has_is_throttled_alike() {
    let (api, person) = (direct(), Person::new().await);
    let mut seen = Vec::new();
    for email in [person.email.clone(), format!("nobody-{}", person.email), "no address".to_owned()] {
        let address = ipv4();
        let mut answers = Vec::new();
        for _ in 0..=PER_ACCOUNT {
            let answer = login(&api, &address, &email, WRONG).await;
            // The time to wait may differ by a second.
            let body = if answer.status == 429 { Value::Null } else { answer.json() };
            answers.push((answer.status, body));
        }
        assert_eq!(answers[PER_ACCOUNT].0, 429);
        seen.push(answers);
    }
    assert!(seen[0] == seen[1] && seen[1] == seen[2], "{seen:?}");
}

#[tokio::test]
async fn of_a_hundred_guesses_at_once_no_more_are_hashed_than_may_fail() {
    let (api, person, address) = (direct(), Person::new().await, ipv4());
    guess_at_once(&api, &address, &person.email, 100).await;
}

#[tokio::test]
async fn many_who_sign_in_at_once_with_the_right_password_are_all_let_in() {
    let (api, person, address) = (direct(), Person::new().await, ipv4());
    guess(&api, &address, &person.email, PER_ACCOUNT - 1).await;
    let all: Vec<_> = (0..60)
        .map(|_| {
            let (api, email, address) = (api.clone(), person.email.clone(), address.clone());
            tokio::spawn(async move { login(&api, &address, &email, PASSWORD).await.status })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_right_password_resets_the_accounts_count_and_not_the_addresss() {
    let (api, person, address) = (direct(), Person::new().await, ipv4());
    for _ in 0..2 {
        guess(&api, &address, &person.email, PER_ACCOUNT - 1).await;
        login(&api, &address, &person.email, PASSWORD).await.expect_status(200);
    }
    let left = failures(&address);
    assert_eq!(left, BTreeMap::from([(format!("login:failed:{{{address}}}"), 2 * (PER_ACCOUNT as u64 - 1))]));
    let trying = redis(stack(), &["--scan", "--pattern", &format!("login:trying:*{address}*")]);
    assert_eq!(trying, "", "a try that is settled is counted no more");
}

#[tokio::test]
async fn the_time_to_wait_is_the_time_after_which_a_try_is_possible() {
    let (api, person, address) = (direct(), Person::new().await, ipv4());
    guess(&api, &address, &person.email, 1).await;
    pass(&address, 100);
    guess(&api, &address, &person.email, PER_ACCOUNT - 1).await;
    let wait = is_throttled(&login(&api, &address, &person.email, PASSWORD).await);
    assert!((780..=800).contains(&wait), "the first failure is 100 s old: {wait}");
    pass(&address, wait - 5);
    let wait = is_throttled(&login(&api, &address, &person.email, PASSWORD).await);
    assert!((1..=5).contains(&wait), "{wait}");
    pass(&address, wait);
    // One more try, until the next failure is old enough.
    assert_eq!(login(&api, &address, &person.email, WRONG).await.status, 400);
    is_throttled(&login(&api, &address, &person.email, PASSWORD).await);
    pass(&address, 100);
    login(&api, &address, &person.email, PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn an_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4() {
    let (api, person) = (direct(), Person::new().await);
    let (network, other) = (network(), network());
    for host in 0..PER_ACCOUNT {
        guess(&api, &format!("{network}:{host:x}::{host:x}"), &person.email, 1).await;
    }
    is_throttled(&login(&api, &format!("{network}::ffff"), &person.email, PASSWORD).await);
    login(&api, &format!("{other}::1"), &person.email, PASSWORD).await.expect_status(200);
    let address = ipv4();
    guess(&api, &format!("::ffff:{address}"), &person.email, PER_ACCOUNT).await;
    is_throttled(&login(&api, &address, &person.email, PASSWORD).await);
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_is_blocked_on_every_replica() {
    let settings = [("LOGIN_FAILURES_PER_ADDRESS", "4"), ("LOGIN_FAILURES_WINDOW_SECONDS", "60")];
    let (one, other) = (Replica::start(&settings).await, Replica::start(&settings).await);
    let (person, address) = (Person::new().await, ipv4());
    for number in 0..4 {
        let api = if number % 2 == 0 { &one.api } else { &other.api };
        guess(api, &address, &format!("nobody-{number}-{}", person.email), 1).await;
    }
    for replica in [&one, &other] {
        assert!(is_throttled(&login(&replica.api, &address, &person.email, PASSWORD).await) <= 60);
        login(&replica.api, &ipv4(), &person.email, PASSWORD).await.expect_status(200);
    }
}

#[tokio::test]
async fn a_signed_in_user_s_wrong_passwords_count_by_user_whatever_the_address_of_the_account_is_meanwhile() {
    let (api, person, address) = (direct(), Person::new().await, ipv4());
    let delete = async |address: &str, password: &str| {
        let request = api.request("DELETE", "/api/user/me/").header("x-forwarded-for", address);
        let request = request.header("authorization", format!("JWT {}", person.access));
        send(request.json(&json!({ "password": password }))).await
    };
    for guess in 0..PER_ACCOUNT {
        assert_eq!(delete(&address, WRONG).await.status, 400, "guess {guess}");
        person.update(&json!({ "email": format!("{guess}-{}", person.email) })).await.expect_status(200);
    }
    is_throttled(&delete(&address, PASSWORD).await);
    // Sign-in is counted apart: a user who is signed in elsewhere can't be locked out of it.
    let email = format!("{}-{}", PER_ACCOUNT - 1, person.email);
    login(&api, &address, &email, PASSWORD).await.expect_status(200);
    is_throttled(&delete(&address, PASSWORD).await);
    guess(&api, &address, &email, PER_ACCOUNT).await;
    is_throttled(&login(&api, &address, &email, PASSWORD).await);
    pass(&address, 900);
    assert_eq!(delete(&address, PASSWORD).await.status, 204);
}

#[tokio::test]
async fn a_signed_in_user_s_wrong_passwords_count_for_the_client_address_with_those_of_sign_in() {
    let settings = [("LOGIN_FAILURES_PER_ADDRESS", "4")];
    let (replica, person, address) = (Replica::start(&settings).await, Person::new().await, ipv4());
    for number in 0..4 {
        if number % 2 == 0 {
            guess(&replica.api, &address, &format!("{number}-{}", person.email), 1).await;
        } else {
            let request = replica.api.request("DELETE", "/api/user/me/").header("x-forwarded-for", &address);
            let request = request.header("authorization", format!("JWT {}", person.access));
            assert_eq!(send(request.json(&json!({ "password": WRONG }))).await.status, 400);
        }
    }
    is_throttled(&login(&replica.api, &address, &person.email, PASSWORD).await);
}

#[tokio::test]
async fn redis_is_told_no_email_address() {
    let (api, person, address) = (direct(), Person::new().await, ipv4());
    guess(&api, &address, &person.email, 1).await;
    let keys = failures(&address);
    assert_eq!(keys.len(), 2);
    let name = person.email.split('@').next().unwrap();
    assert!(keys.keys().all(|key| !key.contains(name)), "{keys:?}");
    for key in keys.keys() {
        let ttl: i64 = redis(stack(), &["PTTL", key]).parse().unwrap();
        assert!((1..=900_000).contains(&ttl), "a count expires by itself: {ttl}");
    }
}

#[tokio::test]
async fn a_try_that_nobody_has_looked_at_does_not_count() {
    let settings = [("HASHING_THREADS", "1"), ("HASHING_QUEUE_MAX", "1"), ("LOGIN_FAILURES_PER_ACCOUNT", "100")];
    let replica = Replica::start(&settings).await;
    let (person, address) = (Person::new().await, ipv4());
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (api, email, address) = (replica.api.clone(), person.email.clone(), address.clone());
            tokio::spawn(async move { login(&api, &address, &email, WRONG).await.status })
        })
        .collect();
    let mut statuses = BTreeMap::new();
    for one in all {
        *statuses.entry(one.await.unwrap()).or_insert(0_u64) += 1;
    }
    assert!(statuses.get(&503).is_some_and(|count| *count > 0), "{statuses:?}");
    assert_eq!(statuses.values().sum::<u64>(), statuses[&503] + statuses[&400], "{statuses:?}");
    assert!(failures(&address).values().all(|count| *count == statuses[&400]), "{statuses:?}");
}
