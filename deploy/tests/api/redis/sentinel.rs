//! A master and a replica, monitored by Sentinels.

use std::time::Duration;

use tokio::time::Instant;

use crate::redis::stack_on;
use crate::support::{
    Certificates, PASSWORD, RedisNode, Scratch, TestUser, run_under_fault, statuses_under_fault, wait_until,
    wait_until_recovered, wait_until_signed_out, within_deadline,
};

/// The Sentinels consider the master down after half a second; the rest is their election.
const FAILED_OVER_WITHIN: Duration = Duration::from_secs(15);

const REPLICATED_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_recovers_and_keeps_every_session() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica(None).await;
    let sentinels = [start_sentinel(None, &master, &replica).await, start_sentinel(None, &master, &replica).await];
    let [a, b] = sentinels.each_ref().map(|sentinel| sentinel.port);
    // A Sentinel that is down is skipped.
    let closed_port = deploy::ports::free().unwrap();
    let url = format!("redis-sentinel://127.0.0.1:{closed_port},127.0.0.1:{a},127.0.0.1:{b}/users/0");
    let stack = stack_on(&url, &files, &[]);

    let user = TestUser::at(&stack.api).await;
    wait_until_recovered(&user).await;
    wait_until_replicated(&replica, &user).await;
    master.server.kill();
    let since = Instant::now();
    let has_recovered = async || statuses_under_fault(&user).await == [200, 200];
    wait_until("auth-api uses the new master", FAILED_OVER_WITHIN, has_recovered).await;
    println!("recovered {:?} after the death of the master", since.elapsed());
    user.refresh().await.expect_status(200);
    assert_eq!(replica.run(&["DEL", &user.session_key()]), "1");
    wait_until_signed_out(&user).await;
}

/// The former master still acts as one for some seconds: a client that stays with it would split the sessions in two.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_replaced_by_the_sentinels_is_abandoned_even_if_it_responds() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica(None).await;
    let sentinel = start_sentinel(None, &master, &replica).await;
    let stack = stack_on(&format!("redis-sentinel://127.0.0.1:{}/users", sentinel.port), &files, &[]);
    let user = TestUser::at(&stack.api).await;
    assert!(master.exists(&user.session_key()));
    let starts = async || sentinel.run(&["SENTINEL", "FAILOVER", "users"]) == "OK";
    wait_until("the failover starts", FAILED_OVER_WITHIN, starts).await;
    wait_until_master_is(&sentinel, &replica).await;
    let since = Instant::now();
    let has_moved = async || {
        let login = TestUser::login(&user.api, &user.email, PASSWORD).await;
        assert!(matches!(login.status, 200 | 503), "{}", login.text());
        let sessions = format!("session:{{{}}}:*", user.id);
        replica.run(&["KEYS", &sessions]).lines().count() > master.run(&["KEYS", &sessions]).lines().count()
    };
    wait_until("logins use the new master", Duration::from_secs(5), has_moved).await;
    println!("left the former master {:?} after the Sentinel reported another", since.elapsed());
    wait_until_recovered(&user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_failover_causes_503_only_and_recovers() {
    let files = Scratch::new();
    let (master, replica) = start_master_and_replica(None).await;
    let sentinel = start_sentinel(None, &master, &replica).await;
    let stack = stack_on(&format!("redis-sentinel://127.0.0.1:{}/users/0", sentinel.port), &files, &[]);
    let fail_over = async |_: &_| {
        // Without writes the replica catches up: an acknowledged write that it has not received would be lost. Compares
        // the offsets of both, as the master's view of the replica is a second old, and the Sentinel, whose hello is a
        // paused write, may have replaced the master by then.
        assert_eq!(master.run(&["CLIENT", "PAUSE", "30000", "WRITE"]), "OK");
        wait_until("all writes are replicated", REPLICATED_WITHIN, async || replica.has_all_of(&master)).await;
        master.server.kill();
        wait_until_master_is(&sentinel, &replica).await;
    };
    run_under_fault("a master fails over", &stack.api, true, fail_over).await;
}

/// Neither the Sentinel nor the servers accept connections without TLS.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_with_sentinels_with_their_master_and_with_the_next_master() {
    let (files, certificates) = (Scratch::new(), Certificates::new());
    let tls = Some(&certificates);
    let (master, replica) = start_master_and_replica(tls).await;
    let sentinel = start_sentinel(tls, &master, &replica).await;
    let url = format!("rediss-sentinel://127.0.0.1:{}/users/0", sentinel.port);
    let stack = stack_on(&url, &files, &[("REDIS_CA_FILE", &certificates.ca())]);
    let user = TestUser::at(&stack.api).await;
    wait_until_recovered(&user).await;
    assert_eq!(master.run(&["DEL", &user.session_key()]), "1");
    wait_until_signed_out(&user).await;

    let user = user.sign_in_again().await;
    wait_until_replicated(&replica, &user).await;
    master.server.kill();
    let is_available = async || within_deadline("me", user.me()).await.status == 200;
    wait_until("me is 503", FAILED_OVER_WITHIN, async || !is_available().await).await;
    wait_until("auth-api uses the new master", FAILED_OVER_WITHIN, is_available).await;
    wait_until_recovered(&user).await;
    assert_eq!(replica.run(&["DEL", &user.session_key()]), "1");
    wait_until_signed_out(&user).await;
}

async fn wait_until_replicated(replica: &RedisNode, user: &TestUser) {
    let key = user.session_key();
    wait_until("the session is replicated", REPLICATED_WITHIN, async || replica.exists(&key)).await;
}

async fn wait_until_master_is(sentinel: &RedisNode, master: &RedisNode) {
    let port = master.port.to_string();
    let is_master = async || sentinel.run(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "users"]).ends_with(&port);
    wait_until("the Sentinel reports the new master", FAILED_OVER_WITHIN, is_master).await;
}

async fn start_master_and_replica(tls: Option<&Certificates>) -> (RedisNode, RedisNode) {
    let master = RedisNode::start(tls, "").await;
    let settings = format!("replicaof 127.0.0.1 {}\nrepl-diskless-sync-delay 0", master.port);
    let replica = RedisNode::start(tls, &settings).await;
    let follows = async || replica.run(&["INFO", "replication"]).contains("master_link_status:up");
    wait_until("the replica is connected", REPLICATED_WITHIN, follows).await;
    (master, replica)
}

async fn start_sentinel(tls: Option<&Certificates>, master: &RedisNode, replica: &RedisNode) -> RedisNode {
    let settings = "sentinel down-after-milliseconds users 500\nsentinel failover-timeout users 3000";
    let sentinel = RedisNode::start_sentinel(tls, master, "users", settings).await;
    let knows = async || sentinel.run(&["SENTINEL", "REPLICAS", "users"]).contains(&replica.port.to_string());
    wait_until("the Sentinel knows the replica", Duration::from_secs(20), knows).await;
    sentinel
}
