//! A master and a replica, watched by Sentinels.

use std::time::Duration;

use tokio::time::Instant;

use crate::redis::{stack_on, until_signed_out};
use crate::support::{
    Api, Certificates, PASSWORD, Person, RedisNode, Scratch, endure, is_in_order, until, within_deadline,
};

/// How long the failover may take: the Sentinels see the master down after half a second, and agree.
const FAILED_OVER_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_all_goes_on_by_itself_and_nobody_is_signed_out() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica(None).await;
    let sentinels = [start_sentinel(None, &master, &replica).await, start_sentinel(None, &master, &replica).await];
    let [a, b] = sentinels.each_ref().map(|sentinel| sentinel.port);
    // One that is not there is no hindrance.
    let nobody = deploy::RedisServer::free_port().unwrap();
    let url = format!("redis-sentinel://127.0.0.1:{nobody},127.0.0.1:{a},127.0.0.1:{b}/users/0");
    let stack = stack_on(&url, &files, &[]);

    let person = Person::at(&Api::at(&stack.env().base)).await;
    is_in_order(&person).await;
    let has_session = async || replica.ask(&["EXISTS", &person.session_key()]) == "1";
    until("the session is replicated", Duration::from_secs(5), has_session).await;
    master.server.kill();
    let since = Instant::now();
    let is_back = async || {
        let statuses = [
            within_deadline("me", person.me()).await.status,
            within_deadline("login", Person::login(&person.api, &person.email, PASSWORD)).await.status,
        ];
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
        statuses == [200, 200]
    };
    until("all is back", FAILED_OVER_WITHIN, is_back).await;
    println!("back {:?} after the master's death", since.elapsed());
    person.refresh().await.expect_status(200);
    assert_eq!(replica.ask(&["DEL", &person.session_key()]), "1");
    until_signed_out(&person).await;
    stack.shutdown();
}

/// The former master goes on as one for some seconds: whoever stays with it has two truths.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_the_sentinels_replace_is_left_though_it_answers() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica(None).await;
    let sentinel = start_sentinel(None, &master, &replica).await;
    let stack = stack_on(&format!("redis-sentinel://127.0.0.1:{}/users", sentinel.port), &files, &[]);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    assert_eq!(master.ask(&["EXISTS", &person.session_key()]), "1");
    let starts = async || sentinel.ask(&["SENTINEL", "FAILOVER", "users"]) == "OK";
    until("the failover starts", FAILED_OVER_WITHIN, starts).await;
    until("the Sentinel names the new master", FAILED_OVER_WITHIN, async || names(&sentinel, &replica)).await;
    let since = Instant::now();
    let moved = async || {
        let answer = Person::login(&person.api, &person.email, PASSWORD).await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        let sessions = format!("session:{{{}}}:*", person.id);
        replica.ask(&["KEYS", &sessions]).lines().count() > master.ask(&["KEYS", &sessions]).lines().count()
    };
    until("people sign in at the new master", Duration::from_secs(5), moved).await;
    println!("left the former master {:?} after another was named", since.elapsed());
    is_in_order(&person).await;
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_people_endures_a_failover() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica(None).await;
    let sentinel = start_sentinel(None, &master, &replica).await;
    let stack = stack_on(&format!("redis-sentinel://127.0.0.1:{}/users/0", sentinel.port), &files, &[]);
    let fails_over = async |_: &_| {
        // Nothing is acknowledged that the replica has not heard of: what it had not would be lost. The replica is asked, and
        // not the master: it hears a second later what the replica has, and the Sentinel, whose hello is a write, too, and
        // waits, has perhaps replaced it by then.
        assert_eq!(master.ask(&["CLIENT", "PAUSE", "30000", "WRITE"]), "OK");
        until("all is replicated", Duration::from_secs(5), async || replica.has_all_of(&master)).await;
        master.server.kill();
        until("the Sentinel names another master", FAILED_OVER_WITHIN, async || names(&sentinel, &replica)).await;
    };
    endure("a master fails over", &Api::at(&stack.env().base), true, fails_over).await;
}

fn names(sentinel: &RedisNode, master: &RedisNode) -> bool {
    sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "users"]).ends_with(&master.port.to_string())
}

/// Neither the Sentinel nor the servers answer anybody who does not speak TLS.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_the_sentinels_and_with_the_master_that_they_name_and_the_next() {
    let (files, certificates) = (Scratch::new(), Certificates::new());
    let tls = Some(&certificates);
    let (master, replica) = start_master_and_replica(tls).await;
    let sentinel = start_sentinel(tls, &master, &replica).await;
    let url = format!("rediss-sentinel://127.0.0.1:{}/users/0", sentinel.port);
    let stack = stack_on(&url, &files, &[("REDIS_CA_FILE", &certificates.authority())]);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    is_in_order(&person).await;
    assert_eq!(master.ask(&["DEL", &person.session_key()]), "1");
    until_signed_out(&person).await;

    let person = Person::sign_in(&person.api, &person.email).await;
    let has_session = async || replica.ask(&["EXISTS", &person.session_key()]) == "1";
    until("the session is replicated", Duration::from_secs(5), has_session).await;
    master.server.kill();
    let is_back = async || within_deadline("me", person.me()).await.status == 200;
    until("me is 503", FAILED_OVER_WITHIN, async || !is_back().await).await;
    until("all is back", FAILED_OVER_WITHIN, is_back).await;
    is_in_order(&person).await;
    assert_eq!(replica.ask(&["DEL", &person.session_key()]), "1");
    until_signed_out(&person).await;
}

async fn start_master_and_replica(tls: Option<&Certificates>) -> (RedisNode, RedisNode) {
    let master = RedisNode::start(tls, "").await;
    let settings = format!("replicaof 127.0.0.1 {}\nrepl-diskless-sync-delay 0", master.port);
    let replica = RedisNode::start(tls, &settings).await;
    let replicated = async || replica.ask(&["INFO", "replication"]).contains("master_link_status:up");
    until("the replica follows", Duration::from_secs(10), replicated).await;
    (master, replica)
}

async fn start_sentinel(tls: Option<&Certificates>, master: &RedisNode, replica: &RedisNode) -> RedisNode {
    let settings = "sentinel down-after-milliseconds users 500\nsentinel failover-timeout users 3000";
    let sentinel = RedisNode::start_sentinel(tls, master, "users", settings).await;
    let knows = async || sentinel.ask(&["SENTINEL", "REPLICAS", "users"]).contains(&replica.port.to_string());
    until("the Sentinel knows the replica", Duration::from_secs(15), knows).await;
    sentinel
}
