//! Latency of ordinary clients while another client attacks.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::hostile::{self, RepeatedRequest};
use crate::error::Error;
use crate::harness::Bench;
use crate::harness::http_client::{HttpClient, connect};
use crate::harness::measure::milliseconds;
use crate::harness::raw_client::RawClient;
use crate::harness::row::{Measure, Pair, Row, Sample, Target, Unit};
use crate::harness::wrk;

/// Both through nginx.
pub const UNDER_ATTACK: Row = Row {
    name: "under-attack",
    what: "slowest GET me of 200 clients while one address sends hostile requests and partial ones : their p99 without it",
    measure: Measure::Ratio { unit: Unit::Milliseconds, target: Target::AtMost(5.0), pair },
};

/// Ordinary clients, each with its own address and connection.
const CLIENTS: u8 = 200;

/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(200);

/// Address of the attacker.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Connections that send hostile requests, each without a pause.
const HOSTILE_CONNECTIONS: usize = 16;

/// Connections that send part of a request and wait.
const PARTIAL_REQUESTS: usize = 2000;

fn pair(bench: &Bench) -> Result<Pair<'_>, Error> {
    let large = bench.large()?;
    let base = large.stack()?.env().base.clone();
    let tokens = large.access_tokens()?;
    let requests: Arc<Vec<String>> =
        Arc::new(tokens.iter().take(CLIENTS.into()).map(|access| wrk::get("/api/user/me/", access)).collect());
    let kinds = Arc::new(hostile::anonymous());
    let (alone, alone_base) = (Arc::clone(&requests), base.clone());
    Ok(Pair {
        candidate: Box::new(move |time| {
            // A thread of its own: the time it takes to send is no part of the ordinary clients' response times.
            let attacker = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let attacker = attacker.map_err(Error::file("the runtime"))?;
            let _attack = attacker.block_on(attack(&base, &kinds));
            bench.runtime.block_on(ordinary(&base, &requests, time, 100))
        }),
        baseline: Box::new(move |time| bench.runtime.block_on(ordinary(&alone_base, &alone, time, 99))),
    })
}

/// Returns a percentile of the response times of all clients, in milliseconds; the 100th is the slowest. Fails without a response.
async fn ordinary(base: &str, requests: &Arc<Vec<String>>, time: Duration, percentile: usize) -> Result<Sample, Error> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (base, requests) = (base.to_owned(), Arc::clone(requests));
        clients.spawn(async move {
            let (mut times, mut refused) = (Vec::new(), 0);
            let source = Ipv4Addr::new(127, 1, 0, number + 1);
            sleep(PAUSE * u32::from(number) / u32::from(CLIENTS)).await;
            let mut client = RawClient::connect_from(source, &base).await?;
            let since = Instant::now();
            while since.elapsed() < time {
                let request = requests.get(usize::from(number)).map_or("", String::as_str);
                let sent = Instant::now();
                match client.send(request).await {
                    Ok(Some(_)) => times.push(milliseconds(sent.elapsed())),
                    Ok(None) => refused += 1,
                    Err(_) => {
                        refused += 1;
                        client = RawClient::connect_from(source, &base).await?;
                    }
                }
                sleep(PAUSE).await;
            }
            Ok::<_, Error>((times, refused))
        });
    }
    let (mut times, mut refused) = (Vec::new(), 0);
    while let Some(ended) = clients.join_next().await {
        let (of_one, refused_to_one) = ended.map_err(Error::client)??;
        times.extend(of_one);
        refused += refused_to_one;
    }
    times.sort_by(f64::total_cmp);
    let at = (times.len() * percentile / 100).min(times.len().saturating_sub(1));
    let value = *times.get(at).ok_or_else(|| Error::Client(format!("no response, {refused} requests were refused")))?;
    Ok(Sample { value, refused })
}

/// Sends hostile requests and partial ones until it is dropped; their responses do not count. Returns when all partial requests
/// are sent.
async fn attack(base: &str, kinds: &Arc<Vec<RepeatedRequest>>) -> JoinSet<()> {
    let mut attack = JoinSet::new();
    for connection in 0..HOSTILE_CONNECTIONS {
        let (base, kinds) = (base.to_owned(), Arc::clone(kinds));
        attack.spawn(async move {
            let mut turn = connection;
            loop {
                let Ok(mut client) = HttpClient::connect_from(ATTACKER, &base).await else {
                    sleep(PAUSE).await;
                    continue;
                };
                while let Some(sent) = kinds.get(turn % kinds.len())
                    && sent.send(&mut client, "").await.is_ok()
                {
                    turn += 1;
                }
            }
        });
    }
    for _ in 0..PARTIAL_REQUESTS {
        // Refused by the connection limit.
        let Ok(mut stream) = connect(ATTACKER, base).await else { continue };
        attack.spawn(async move {
            let _ = stream.write_all(b"GET /api/user/me/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAutho").await;
            std::future::pending::<()>().await;
        });
    }
    attack
}
