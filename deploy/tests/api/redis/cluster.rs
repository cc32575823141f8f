//! A Redis Cluster of three masters.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::faults::hashed;
use crate::redis::stack_on;
use crate::support::{
    Api, Certificates, FAILURES_PER_ACCOUNT, PASSWORD, RedisNode, Scratch, TestUser, assert_throttled,
    guess_concurrently, ipv4, login_from, statuses_under_fault, wait_until, wait_until_recovered,
    wait_until_signed_out, within_deadline,
};

const FAILED_OVER_WITHIN: Duration = Duration::from_secs(15);

/// Serves the available slots while others are down.
const SETTINGS: &str = "cluster-enabled yes\ncluster-node-timeout 1000\ncluster-require-full-coverage no\n\
                        cluster-allow-replica-migration no\nrepl-diskless-sync-delay 0";

/// How many accounts are guessed from how many addresses: each master must count some.
const ROUNDS_MIN: usize = 3;
const ROUNDS_MAX: usize = 30;

/// Starts three masters, each with this many replicas.
async fn start_cluster(tls: Option<&Certificates>, replicas: usize) -> Vec<RedisNode> {
    let mut nodes = Vec::new();
    for _ in 0..3 * (1 + replicas) {
        let bus = deploy::ports::free().unwrap();
        let tls_bus = if tls.is_some() { "\ntls-cluster yes" } else { "" };
        nodes.push(RedisNode::start(tls, &format!("{SETTINGS}\ncluster-port {bus}{tls_bus}")).await);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let replicas_per_master = replicas.to_string();
    let mut words = vec!["--cluster", "create"];
    words.extend(addresses.iter().map(String::as_str));
    words.extend(["--cluster-replicas", &replicas_per_master, "--cluster-yes"]);
    let created = nodes[0].run(&words);
    assert!(created.contains("All 16384 slots covered"), "{created}");
    for node in &nodes {
        let is_ready = async || {
            let known = node.run(&["CLUSTER", "NODES"]);
            let replication = node.run(&["INFO", "replication"]);
            let is_connected = replication.contains("master_link_status:up") || replication.contains("state=online");
            node.run(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && known.matches(" master ").count() + known.matches("myself,master").count() == 3
                && (replicas == 0 || is_connected)
        };
        wait_until("the Cluster is ready", Duration::from_secs(30), is_ready).await;
    }
    nodes
}

fn url(scheme: &str, nodes: &[RedisNode]) -> String {
    format!("{scheme}://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[nodes.len() - 2].port)
}

/// The master that has a user's session.
fn master_of<'a>(nodes: &'a [RedisNode], user: &TestUser) -> &'a RedisNode {
    let key = user.session_key();
    nodes.iter().find(|node| node.exists(&key)).expect("a master has the session")
}

fn delete_session(nodes: &[RedisNode], user: &TestUser) {
    assert_eq!(master_of(nodes, user).run(&["DEL", &user.session_key()]), "1");
}

/// Registers users until each master has the session of one of them.
async fn user_on_each_master(api: &Api, nodes: &[RedisNode]) -> Vec<TestUser> {
    let mut users = Vec::new();
    while users.len() < 3 {
        let user = TestUser::at(api).await;
        let port = master_of(nodes, &user).port;
        if users.iter().all(|other| master_of(nodes, other).port != port) {
            users.push(user);
        }
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_migration_is_unnoticed_and_a_failover_affects_only_the_slots_of_its_master() {
    let files = Scratch::new();
    let nodes = start_cluster(None, 1).await;
    let stack = stack_on(&url("redis-cluster", &nodes), &files, &[]);
    let users = user_on_each_master(&stack.api, &nodes).await;
    for user in &users {
        wait_until_recovered(user).await;
        user.refresh().await.expect_status(200);
    }
    let other = users[0].sign_in_again().await;
    delete_session(&nodes, &other);
    wait_until_signed_out(&other).await;

    assert_migration_is_unnoticed(&nodes, &users).await;
    assert_failover_recovers(&nodes, &users).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_with_every_node_and_each_invalidates_sessions() {
    let (files, certificates) = (Scratch::new(), Certificates::new());
    let nodes = start_cluster(Some(&certificates), 0).await;
    let stack = stack_on(&url("rediss-cluster", &nodes), &files, &[("REDIS_CA_FILE", &certificates.ca())]);
    for user in user_on_each_master(&stack.api, &nodes).await {
        wait_until_recovered(&user).await;
        user.refresh().await.expect_status(200);
        delete_session(&nodes, &user);
        wait_until_signed_out(&user).await;
    }
}

/// The windows of an account and of an address may be on two masters: each is counted by a script of its own.
#[tokio::test(flavor = "multi_thread")]
async fn one_full_or_unreachable_master_makes_readiness_degraded() {
    let (files, nodes) = (Scratch::new(), start_cluster(None, 0).await);
    let stack = stack_on(&url("redis-cluster", &nodes), &files, &[]);
    let auth_api = Api::at(&stack.env().auth_api);
    let degraded = |reason: &str| json!({ "status": "degraded", "reasons": [reason] });
    for node in &nodes {
        auth_api.get("/readyz").await.expect(200, &json!({ "status": "ok" }));
        assert_eq!(node.run(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
        auth_api.get("/readyz").await.expect(200, &degraded("redis_full"));
        assert_eq!(node.run(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    }
    nodes[1].server.kill();
    let is_degraded = async || auth_api.get("/readyz").await.json() == degraded("redis_partly_unreachable");
    wait_until("/readyz is degraded", FAILED_OVER_WITHIN, is_degraded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_guesses_are_throttled_whichever_masters_count_them() {
    let files = Scratch::new();
    let nodes = start_cluster(None, 0).await;
    let stack = stack_on(&url("redis-cluster", &nodes), &files, &[("LOG_LEVEL", "debug")]);
    let api = Api::at(&stack.env().auth_api);
    let counting = || nodes.iter().filter(|node| !node.run(&["KEYS", "login:failed:*"]).is_empty()).count();
    let mut rounds = 0;
    while rounds < ROUNDS_MIN || counting() < nodes.len() {
        rounds += 1;
        assert!(rounds <= ROUNDS_MAX, "a master counts no failures");
        let (user, here) = (TestUser::at(&api).await, ipv4());
        let before = hashed(&stack);
        guess_concurrently(&api, &here, &user.email, 100).await;
        assert_eq!(hashed(&stack) - before, FAILURES_PER_ACCOUNT);
        assert_throttled(&login_from(&api, &here, &user.email, PASSWORD).await, 900);
        login_from(&api, &ipv4(), &user.email, PASSWORD).await.expect_status(200);
    }
}

/// Migrates the slot of a user's session to another master; the session works at each step.
async fn assert_migration_is_unnoticed(nodes: &[RedisNode], users: &[TestUser]) {
    let user = &users[0];
    let (source, target) = (master_of(nodes, user), master_of(nodes, &users[1]));
    let [source_id, target_id] = [source, target].map(|node| node.run(&["CLUSTER", "MYID"]));
    let slot = source.run(&["CLUSTER", "KEYSLOT", &user.session_key()]);
    let assert_works = async || {
        user.me().await.expect_status(200);
        // The script carries a deadline by the clock of the node that executes it.
        user.refresh().await.expect_status(200);
    };
    assert_eq!(target.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]), "OK");
    assert_eq!(source.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]), "OK");
    assert_works().await;
    let keys = source.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    let port = target.port.to_string();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", RedisNode::PASSWORD, "KEYS"];
    assert_eq!(source.run(&words.into_iter().chain(keys.lines()).collect::<Vec<_>>()), "OK");
    assert_works().await;
    for node in [target, source] {
        assert_eq!(node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]), "OK");
        assert_works().await;
    }
    wait_until_recovered(user).await;
}

/// Kills the master of the third user: the others notice nothing, and its replica takes over.
async fn assert_failover_recovers(nodes: &[RedisNode], users: &[TestUser]) {
    let affected = &users[2];
    let killed = master_of(nodes, affected);
    wait_until("all writes are replicated", Duration::from_secs(10), async || killed.is_replicated()).await;
    killed.server.kill();
    let since = Instant::now();
    let mut was_unavailable = false;
    let has_recovered = async || {
        for user in &users[..2] {
            let sent = Instant::now();
            within_deadline("me", user.me()).await.expect_status(200);
            assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
        }
        let statuses = statuses_under_fault(affected).await;
        was_unavailable |= statuses.contains(&503);
        was_unavailable && statuses == [200, 200]
    };
    wait_until("the replica takes over", FAILED_OVER_WITHIN, has_recovered).await;
    println!("the slots of the killed master are served again after {:?}", since.elapsed());
    wait_until_recovered(affected).await;
}
