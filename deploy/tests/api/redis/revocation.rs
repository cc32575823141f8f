//! A session whose key is deleted is over on every replica: at once as a rule, within two seconds if a replica is cut off
//! from Redis without notice.

use std::time::Duration;

use reqwest::Url;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{
    Api, PASSWORD, Person, Proxy, Replica, is_back, postgres, redis, stack, turns_unavailable, until,
};

/// Sessions that are ended, and every how many of them with the second replica cut off.
const TRIES: u32 = 100;
const CUT_OFF_EVERY: u32 = 10;

/// What was read before may be known for so long.
const AT_WORST: Duration = Duration::from_secs(2);

/// How long after `since` the last request was sent that was let in. One that is refused, or not answered, is not.
async fn last_let_in(person: &Person, since: Instant) -> Duration {
    let mut last = Duration::ZERO;
    while since.elapsed() < AT_WORST + Duration::from_millis(500) {
        let sent = since.elapsed();
        match tokio::time::timeout(Duration::from_millis(500), person.me()).await {
            Ok(answer) if answer.status == 200 => last = sent,
            // What is refused once is refused from then on: see the end of each try.
            _ => return last,
        }
        sleep(Duration::from_millis(1)).await;
    }
    last
}

fn printed(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: median {:?}, p90 {:?}, longest {:?} of {}", at(50), at(90), at(100), times.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_over_on_two_replicas_a_hundred_times_of_a_hundred() {
    let env = stack();
    let word_after = |flag: &str| env.redis_args().skip_while(|word| *word != flag).nth(1).unwrap();
    let proxy = Proxy::to(word_after("-p").parse().unwrap()).await;
    let url = format!("redis://:{}@127.0.0.1:{}/0", word_after("-a"), proxy.port);
    let replica = Replica::start(&[("REDIS_URL", &url)]).await;
    let (near, far) = (Api::at(&env.auth_api), replica.api.clone());
    let owner = Person::at(&near).await;
    let (mut told, mut cut_off) = (Vec::new(), Vec::new());
    for number in 0..TRIES {
        let here = Person::sign_in(&near, &owner.email).await;
        let there = Person { api: far.clone(), ..here.clone() };
        here.me().await.expect_status(200);
        there.me().await.expect_status(200);
        let is_cut_off = number % CUT_OFF_EVERY == 0;
        proxy.silence(is_cut_off);
        redis(env, &["DEL", &here.session_key()]);
        let since = Instant::now();
        let (here_last, there_last) = tokio::join!(last_let_in(&here, since), last_let_in(&there, since));
        assert!(here_last.max(there_last) < AT_WORST, "try {number}: let in after {here_last:?} and {there_last:?}");
        told.push(here_last);
        if is_cut_off { &mut cut_off } else { &mut told }.push(there_last);
        proxy.silence(false);
        here.me().await.expect_unauthorized();
        until("the second replica is back", Duration::from_secs(5), async || there.me().await.status == 401).await;
    }
    printed("told", told);
    printed("cut off", cut_off);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_changes_the_other_reads_back() {
    let replica = Replica::start(&[]).await;
    let (near, far) = (Api::at(&stack().auth_api), replica.api.clone());
    let here = Person::at(&near).await;
    let there = Person { api: far.clone(), ..here.clone() };
    let mut at_once = 0;
    for number in 0..100 {
        there.me().await.expect_status(200);
        let updated = here.update(&json!({ "full_name": format!("Name {number}") })).await.expect_status(200).json();
        if there.me().await.json() == updated {
            at_once += 1;
        } else {
            until("the update is seen", AT_WORST, async || there.me().await.json() == updated).await;
        }
    }
    println!("read back at once: {at_once} of 100");
    assert!(at_once > 50, "an update is seen when it is told of, not when what was read is too old");
    // A refresh token is used once, whichever replica it is shown to.
    let pairs = [here.refresh().await, there.refresh().await];
    assert_eq!(pairs[0].expect_status(200).json(), pairs[1].expect_status(200).json());
    // A new password ends the sessions that the other replica knows.
    let other = Person::sign_in(&far, &here.email).await;
    other.me().await.expect_status(200);
    here.update(&json!({ "password": "a quite different phrase" })).await.expect_status(200);
    until("the other session is over", AT_WORST, async || other.me().await.status == 401).await;
    there.me().await.expect_status(200);
    Person::login(&far, &here.email, PASSWORD).await.expect_status(400);
    // What a hand changes in Postgres is told to both.
    postgres(stack(), &format!("update users set full_name = 'By hand' where id = '{}'", here.id));
    for person in [&here, &there] {
        let is_told = async || person.me().await.expect_status(200).json()["full_name"] == "By hand";
        until("the change by hand is seen", AT_WORST, is_told).await;
    }
}

/// Copies of accounts in Redis are good only while Postgres tells of changes; not merely from when it began to.
#[tokio::test(flavor = "multi_thread")]
async fn no_copy_is_believed_while_postgres_tells_nothing() {
    let env = stack();
    let mut url = Url::parse(&env.postgres).unwrap();
    let proxy = Proxy::to(url.port().unwrap()).await;
    url.set_port(Some(proxy.port)).unwrap();
    let replica = Replica::start(&[("DATABASE_URL", url.as_str()), ("USER_COPY_SECONDS", "1")]).await;
    let person = Person::at(&Api::at(&env.auth_api)).await;
    let there = Person { api: replica.api.clone(), ..person.clone() };
    person.me().await.expect_status(200);
    // A copy that Postgres knows nothing of shows who believes it.
    let key = format!("user:{{{}}}", person.id);
    let copy = redis(env, &["HGET", &key, "row"]).replace(&person.email, "copied@example.com");
    // Written anew each time, or it would not be read anew.
    let write = || redis(env, &["HSET", &key, "version", "1000000000", "row", &copy]);
    let is_believed = async || {
        write();
        there.me().await.expect_status(200).json()["email"] == "copied@example.com"
    };
    until("the copy is believed", Duration::from_secs(10), is_believed).await;
    proxy.silence(true);
    turns_unavailable("me", async || there.me().await).await;
    // Whoever hears of the copy anew does not take it either.
    write();
    turns_unavailable("me, told of the copy", async || there.me().await).await;
    proxy.silence(false);
    is_back("me", async || there.me().await.status).await;
}
