//! A Cluster of three masters, each with a replica.

use std::time::Duration;

use tokio::time::Instant;

use crate::redis_topologies::{stack_on, until_signed_out};
use crate::support::{Api, PASSWORD, Person, RedisNode, Scratch, is_in_order, until, within_deadline};

const FAILED_OVER_WITHIN: Duration = Duration::from_secs(15);

/// Serves the slots that are there while others are not.
const SETTINGS: &str = "cluster-enabled yes\ncluster-node-timeout 1000\ncluster-require-full-coverage no\n\
                        cluster-allow-replica-migration no\nrepl-diskless-sync-delay 0";

async fn start_cluster() -> Vec<RedisNode> {
    let mut nodes = Vec::new();
    for _ in 0..6 {
        let bus = deploy::RedisServer::free_port().unwrap();
        nodes.push(RedisNode::start(&format!("{SETTINGS}\ncluster-port {bus}")).await);
    }
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let mut words = vec!["--cluster", "create"];
    words.extend(addresses.iter().map(String::as_str));
    words.extend(["--cluster-replicas", "1", "--cluster-yes"]);
    let created = nodes[0].ask(&words);
    assert!(created.contains("All 16384 slots covered"), "{created}");
    for node in &nodes {
        let is_whole = async || {
            let nodes_known = node.ask(&["CLUSTER", "NODES"]);
            let replication = node.ask(&["INFO", "replication"]);
            node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && nodes_known.matches(" master ").count() + nodes_known.matches("myself,master").count() == 3
                && (replication.contains("master_link_status:up") || replication.contains("state=online"))
        };
        until("the Cluster is whole", Duration::from_secs(20), is_whole).await;
    }
    nodes
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
    let nodes = start_cluster().await;
    let url = format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[4].port);
    let stack = stack_on(&url, &files, &[]);
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
    let keys = source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    let port = target.port.to_string();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH", RedisNode::PASSWORD, "KEYS"];
    assert_eq!(source.ask(&words.into_iter().chain(keys.lines()).collect::<Vec<_>>()), "OK");
    person.me().await.expect_status(200);
    for node in [target, source] {
        assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]), "OK");
        person.me().await.expect_status(200);
    }
    is_in_order(person).await;
}

async fn a_master_dies(nodes: &[RedisNode], people: &[(u16, Person)]) {
    let hit = &people[2].1;
    let doomed = master_of(nodes, &hit.session_key()).unwrap();
    // Its replica has all that was written.
    let is_replicated = async || {
        let info = doomed.ask(&["INFO", "replication"]);
        let number = |name: &str| info.split(name).nth(1)?.split([',', '\r', '\n']).next()?.parse::<u64>().ok();
        number("master_repl_offset:") == number(",offset=")
    };
    until("all is replicated", Duration::from_secs(5), is_replicated).await;
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
