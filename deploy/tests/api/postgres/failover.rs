//! A primary and a standby, which is promoted under load.

use std::time::Duration;

use deploy::Signal;
use tokio::time::{Instant, sleep};

use crate::postgres::check;
use crate::support::{
    Api, LoadClient, LoadGenerator, PostgresNode, Replica, assert_unavailable, register, run_under_fault, wait_until,
};

/// From the failure of the primary to the promotion: longer than any cache entry.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(3);

const WRITES_WITHIN: Duration = Duration::from_secs(5);

const WRITERS: usize = 4;

/// Registers one user after the other.
struct Writer(Api);

impl LoadClient for Writer {
    async fn request(&mut self) -> Result<u16, String> {
        let response = register(&self.0).await;
        match response.status {
            201 => Ok(200),
            503 => {
                assert_unavailable("register", &response);
                Ok(503)
            }
            status => Err(format!("{status} {}", response.text())),
        }
    }
}

/// Promotes the standby while `fail` has stopped the primary.
async fn assert_failover(what: &str, fail: impl AsyncFnOnce(&PostgresNode)) {
    let primary = PostgresNode::start(None).await;
    let standby = PostgresNode::standby_of(&primary).await;
    // A host that refuses connections is skipped.
    let closed_port = deploy::ports::free().unwrap();
    let [a, b] = [&primary, &standby].map(|node| format!("127.0.0.1:{}", node.port));
    let url = format!(
        "postgres://users:{}@127.0.0.1:{closed_port},{b},{a}/postgres?target_session_attrs=read-write",
        PostgresNode::PASSWORD
    );
    let replica = Replica::start(&[("DATABASE_URL", &url)]).await;
    let mut writers = LoadGenerator::new(Duration::from_millis(20));
    for _ in 0..WRITERS {
        writers.add("register", Writer(replica.api.clone()));
    }
    run_under_fault(what, &replica.api, true, async |_| {
        fail(&primary).await;
        sleep(UNAVAILABLE_FOR).await;
        assert_unavailable("readyz", &replica.api.get("/readyz").await);
        assert_eq!(standby.run("select pg_promote()"), "t");
        let promoted = Instant::now();
        let recovered = async || writers.has_recovered(promoted);
        let took = wait_until(&format!("{what}: writes work"), WRITES_WITHIN, recovered).await;
        println!("{what}: writes worked {took:?} after the promotion");
    })
    .await;
    let samples = writers.stop().await;
    let wrong: Vec<_> = samples.iter().filter(|sample| sample.outcome.is_err()).take(5).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    assert!(samples.iter().any(|sample| sample.outcome == Ok(503)), "{what}: registration has not noticed the fault");
    assert!(replica.api.is_ready().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_promoted_under_load_takes_over_from_a_killed_primary() {
    assert_failover("primary killed", async |primary| primary.kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_promoted_under_load_takes_over_from_a_hung_primary() {
    assert_failover("primary hung", async |primary| primary.signal(Signal::STOP)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_is_not_ready_and_named_by_check() {
    let primary = PostgresNode::start(None).await;
    let standby = PostgresNode::standby_of(&primary).await;
    let replica = Replica::start(&[("DATABASE_URL", &primary.url())]).await;
    primary.run("alter system set default_transaction_read_only = on");
    primary.run("select pg_reload_conf()");
    wait_until("readyz is 503", WRITES_WITHIN, async || replica.api.get("/readyz").await.status == 503).await;
    let printed = check(&standby.url());
    assert!(printed.contains("read-only: see DATABASE_URL"), "{printed}");
}
