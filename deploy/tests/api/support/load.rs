//! A load generator: clients that each send one request after the other until they are stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// A client of a load generator.
pub trait LoadClient: Send + 'static {
    /// Sends one request: the status of an acceptable response, or what is wrong with it.
    fn request(&mut self) -> impl Future<Output = Result<u16, String>> + Send;
}

/// One request and its outcome.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The index of the client.
    pub client: usize,
    pub what: &'static str,
    pub sent: Instant,
    pub took: Duration,
    pub outcome: Result<u16, String>,
}

pub struct LoadGenerator {
    pause: Duration,
    stopped: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    clients: Vec<JoinHandle<()>>,
}

impl LoadGenerator {
    /// Creates a generator without clients; each client will pause between its requests.
    pub fn new(pause: Duration) -> Self {
        Self { pause, stopped: Arc::default(), samples: Arc::default(), clients: Vec::new() }
    }

    /// Starts one more client.
    pub fn add(&mut self, what: &'static str, mut load_client: impl LoadClient) {
        let (client, pause) = (self.clients.len(), self.pause);
        let (stopped, samples) = (Arc::clone(&self.stopped), Arc::clone(&self.samples));
        self.clients.push(tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let outcome = load_client.request().await;
                samples.lock().unwrap().push(Sample { client, what, sent, took: sent.elapsed(), outcome });
                sleep(pause).await;
            }
        }));
    }

    /// Whether the last three requests that each client has sent since `since` succeeded.
    pub fn has_recovered(&self, since: Instant) -> bool {
        const CONSECUTIVE: usize = 3;
        let mut successes = vec![0; self.clients.len()];
        for sample in self.samples.lock().unwrap().iter().filter(|sample| sample.sent >= since) {
            successes[sample.client] = if sample.outcome == Ok(200) { successes[sample.client] + 1 } else { 0 };
        }
        successes.iter().all(|count| *count >= CONSECUTIVE)
    }

    /// Stops all clients and returns all samples.
    pub async fn stop(self) -> Vec<Sample> {
        self.stopped.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        std::mem::take(&mut self.samples.lock().unwrap())
    }
}
