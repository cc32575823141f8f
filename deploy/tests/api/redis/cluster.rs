//! A Cluster of three masters.

use std::time::Duration;

use tokio::time::Instant;

use crate::endpoints::login_throttle::{PER_ACCOUNT, guess_at_once, ipv4, is_throttled, login};
use crate::faults::overload::hashed;
use crate::redis::{stack_on, until_signed_out};
use crate::support::{Api, Certificates, PASSWORD, Person, RedisNode, Scratch, is_in_order, until, within_deadline};

const FAILED_OVER_WITHIN: Duration = Duration::from_secs(15);

/// Serves the slots that are there while others are not.
const SETTINGS: &str = "cluster-enabled yes\ncluster-node-timeout 1000\ncluster-require-full-coverage no\n\
                        cluster-allow-replica-migration no\nrepl-diskless-sync-delay 0";

/// How many accounts are guessed at from how many addresses: each master is to count some.
const ROUNDS_MIN: usize = 3;
const ROUNDS_MAX: usize = 30;

/// Three masters, each with so many replicas.
async fn start_cluster(tls: Option<&Certificates>, replicas: usize) -> Vec<RedisNode> {
    let mut nodes = Vec::new();
    for _ in 0..3 * (1 + replicas) {
        let bus = deploy::RedisServer::free_port().unwrap();
        let of_tls = if tls.is_some() { "\ntls-cluster yes" } else { "" };
        nodes.push(RedisNode::start(tls, &format!("{SETTINGS}\ncluster-port {bus}{of_tls}")).await);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let replicas_of_each = replicas.to_string();
    let mut words = vec!["--cluster", "create"];
    words.extend(addresses.iter().map(String::as_str));
    words.extend(["--cluster-replicas", &replicas_of_each, "--cluster-yes"]);
    let created = nodes[0].ask(&words);
    assert!(created.contains("All 16384 slots covered"), "{created}");
    for node in &nodes {
        let is_whole = async || {
            let nodes_known = node.ask(&["CLUSTER", "NODES"]);
            let replication = node.ask(&["INFO", "replication"]);
            node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && nodes_known.matches(" master ").count() + nodes_known.matches("myself,master").count() == 3
                && (replicas == 0
                    || replication.contains("master_link_status:up")
                    || replication.contains("state=online"))
        };
        until("the Cluster is whole", Duration::from_secs(20), is_whole).await;
    }
    nodes
}

fn url(scheme: &str, nodes: &[RedisNode]) -> String {
    format!("{scheme}://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[nodes.len() - 2].port)
}

/// The node that answers for a key.
fn master_of<'a>(nodes: &'a [RedisNode], key: &str) -> Option<&'a RedisNode> {
    nodes.iter().find(|node| node.ask(&["EXISTS", key]) == "1")
}

/// Somebody in the slots of each of the three masters.
async fn people_everywhere(api: &Api, nodes: &[RedisNode]) -> Vec<(u16, Person)> {
    let mut people: Vec<(u16, Person)> = Vec::new();
    while people.len() < 3 {
        let person = Person::at(api).await;
        let port = master_of(nodes, &person.session_key()).expect("somebody has the session").port;
        if people.iter().all(|(other, _)| *other != port) {
            people.push((port, person));
        }
    }
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_master_fails_over_the_slots_of_the_others_are_served_and_then_all() {
    let files = Scratch::new();
    let nodes = start_cluster(None, 1).await;
    let stack = stack_on(&url("redis-cluster", &nodes), &files, &[]);
    let people = people_everywhere(&Api::at(&stack.env().base), &nodes).await;
    for (_, person) in &people {
        is_in_order(person).await;
        person.refresh().await.expect_status(200);
    }
    let other = Person::sign_in(&people[0].1.api, &people[0].1.email).await;
    let owner = master_of(&nodes, &other.session_key()).unwrap();
    assert_eq!(owner.ask(&["DEL", &other.session_key()]), "1");
    until_signed_out(&other).await;

    a_slot_moves_unseen(&nodes, &people).await;
    a_master_dies(&nodes, &people).await;
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_every_node_and_each_tells_of_a_session_that_ends() {
    let (files, certificates) = (Scratch::new(), Certificates::new());
    let nodes = start_cluster(Some(&certificates), 0).await;
    let stack = stack_on(&url("rediss-cluster", &nodes), &files, &[("REDIS_CA_FILE", &certificates.authority())]);
    for (_, person) in people_everywhere(&Api::at(&stack.env().base), &nodes).await {
        is_in_order(&person).await;
        person.refresh().await.expect_status(200);
        let owner = master_of(&nodes, &person.session_key()).unwrap();
        assert_eq!(owner.ask(&["DEL", &person.session_key()]), "1");
        until_signed_out(&person).await;
    }
}

/// An account's count and its address's may be on two masters, and each count is one script's.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_once_are_throttled_whichever_masters_count_them() {
    let files = Scratch::new();
    let nodes = start_cluster(None, 0).await;
    let stack = stack_on(&url("redis-cluster", &nodes), &files, &[("LOG_LEVEL", "debug")]);
    let api = Api::at(&stack.env().auth_api);
    let have_counted = || nodes.iter().filter(|node| !node.ask(&["KEYS", "login:failed:*"]).is_empty()).count();
    let mut rounds = 0;
    while rounds < ROUNDS_MIN || have_counted() < nodes.len() {
        rounds += 1;
        assert!(rounds <= ROUNDS_MAX, "one of the masters counts nobody");
        let (person, here) = (Person::at(&api).await, ipv4());
        let before = hashed(&stack);
        guess_at_once(&api, &here, &person.email, 100).await;
        assert_eq!(hashed(&stack) - before, PER_ACCOUNT);
        is_throttled(&login(&api, &here, &person.email, PASSWORD).await);
        login(&api, &ipv4(), &person.email, PASSWORD).await.expect_status(200);
    }
}

/// Somebody's slot goes from one master to another, and at each step they are who they were.
async fn a_slot_moves_unseen(nodes: &[RedisNode], people: &[(u16, Person)]) {
    let (from, person) = &people[0];
    let node = |port: u16| nodes.iter().find(|node| node.port == port).unwrap();
    let (source, target) = (node(*from), node(people[1].0));
    let [source_id, target_id] = [source, target].map(|node| node.ask(&["CLUSTER", "MYID"]));
    let slot = source.ask(&["CLUSTER", "KEYSLOT", &person.session_key()]);
    assert_eq!(target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]), "OK");
    assert_eq!(source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]), "OK");
    person.me().await.expect_status(200);
    person.refresh().await.expect_status(200);
    let keys = source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    let port = target.port.to_string();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", RedisNode::PASSWORD, "KEYS"];
    assert_eq!(source.ask(&words.into_iter().chain(keys.lines()).collect::<Vec<_>>()), "OK");
    person.me().await.expect_status(200);
    // A script is sent on to the other node, with a deadline on its clock.
    person.refresh().await.expect_status(200);
    for node in [target, source] {
        assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]), "OK");
        person.me().await.expect_status(200);
        person.refresh().await.expect_status(200);
    }
    is_in_order(person).await;
}

async fn a_master_dies(nodes: &[RedisNode], people: &[(u16, Person)]) {
    let hit = &people[2].1;
    let doomed = master_of(nodes, &hit.session_key()).unwrap();
    until("all is replicated", Duration::from_secs(5), async || doomed.is_replicated()).await;
    doomed.server.kill();
    let since = Instant::now();
    let mut was_away = false;
    let is_back = async || {
        for (_, spared) in &people[..2] {
            let asked = Instant::now();
            let answer = within_deadline("me", spared.me()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
        let statuses = [
            within_deadline("me", hit.me()).await.status,
            within_deadline("login", Person::login(&hit.api, &hit.email, PASSWORD)).await.status,
        ];
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
        was_away |= statuses.contains(&503);
        was_away && statuses == [200, 200]
    };
    until("the slots are back", FAILED_OVER_WITHIN, is_back).await;
    println!("the slots of the dead master are back {:?} after its death", since.elapsed());
    is_in_order(hit).await;
}
