//! A master and a replica, watched by Sentinels.

use std::time::Duration;

use tokio::time::Instant;

use crate::redis_topologies::{stack_on, until_signed_out};
use crate::support::{Api, PASSWORD, Person, RedisNode, Scratch, is_in_order, until, within_deadline};

/// How long the failover may take: the Sentinels see the master down after half a second, and agree.
const FAILED_OVER_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_all_goes_on_by_itself_and_nobody_is_signed_out() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica().await;
    let sentinels = [start_sentinel(&master, &replica).await, start_sentinel(&master, &replica).await];
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
    let (master, replica) = start_master_and_replica().await;
    let sentinel = start_sentinel(&master, &replica).await;
    let stack = stack_on(&format!("redis-sentinel://127.0.0.1:{}/users", sentinel.port), &files, &[]);
    let person = Person::at(&Api::at(&stack.env().base)).await;
    assert_eq!(master.ask(&["EXISTS", &person.session_key()]), "1");
    let starts = async || sentinel.ask(&["SENTINEL", "FAILOVER", "users"]) == "OK";
    until("the failover starts", FAILED_OVER_WITHIN, starts).await;
    let named =
        async || sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "users"]).ends_with(&replica.port.to_string());
    until("the Sentinel names the new master", FAILED_OVER_WITHIN, named).await;
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

async fn start_master_and_replica() -> (RedisNode, RedisNode) {
    let master = RedisNode::start("").await;
    let settings = format!("replicaof 127.0.0.1 {}\nrepl-diskless-sync-delay 0", master.port);
    let replica = RedisNode::start(&settings).await;
    let replicated = async || replica.ask(&["INFO", "replication"]).contains("master_link_status:up");
    until("the replica follows", Duration::from_secs(10), replicated).await;
    (master, replica)
}

async fn start_sentinel(master: &RedisNode, replica: &RedisNode) -> RedisNode {
    let settings = "sentinel down-after-milliseconds users 500\nsentinel failover-timeout users 3000";
    let sentinel = RedisNode::start_sentinel(master, "users", settings).await;
    let knows = async || sentinel.ask(&["SENTINEL", "REPLICAS", "users"]).contains(&replica.port.to_string());
    until("the Sentinel knows the replica", Duration::from_secs(15), knows).await;
    sentinel
}
