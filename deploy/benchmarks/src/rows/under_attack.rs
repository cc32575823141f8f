//! Latency of ordinary clients while another client attacks.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
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
            let _attack = Attack::start(&base, &kinds)?;
            let (times, refused) = bench.runtime.block_on(ordinary(&base, &requests, time))?;
            Ok(Sample { value: times.last().copied().unwrap_or(f64::NAN), refused })
        }),
        baseline: Box::new(move |time| {
            bench.runtime.block_on(async {
                let (times, refused) = ordinary(&alone_base, &alone, time).await?;
                Ok(Sample { value: times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN), refused })
            })
        }),
    })
}

/// Returns the sorted response times of all clients in milliseconds, and the number of refused requests.
async fn ordinary(base: &str, requests: &Arc<Vec<String>>, time: Duration) -> Result<(Vec<f64>, u64), Error> {
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
    if times.is_empty() {
        return Err(Error::Client(format!("no request of {CLIENTS} clients succeeded, {refused} were refused")));
    }
    if times.is_empty() {
        return Err(Error::Client(format!("no request of {CLIENTS} clients succeeded, {refused} were refused")));
    }
    times.sort_by(f64::total_cmp);
    Ok((times, refused))
}

/// Hostile requests and partial ones, until it is dropped. Their responses do not count. On a thread of its own, so that the
/// time it takes to send them is no part of the ordinary clients' response times.
struct Attack {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    /// Returns when all partial requests are sent.
    fn start(base: &str, kinds: &Arc<Vec<RepeatedRequest>>) -> Result<Self, Error> {
        let (base, kinds) = (base.to_owned(), Arc::clone(kinds));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::client)?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let _attack = attack(&base, &kinds).await;
                let _ = ready.send(());
                let _ = stopped.await;
            });
        });
        is_ready.recv().map_err(Error::client)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

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
