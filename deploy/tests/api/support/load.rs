//! Requests from several clients at once, each after its last is answered, until they are told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Who asks again and again.
pub trait Asks: Send + 'static {
    /// Asks once: the status of an answer that may be given, or what is wrong with it.
    fn ask(&mut self) -> impl Future<Output = Result<u16, String>> + Send;
}

/// An answer, or none.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of who asked, from 0 on.
    pub client: usize,
    pub what: &'static str,
    pub asked: Instant,
    pub took: Duration,
    pub outcome: Result<u16, String>,
}

/// The clients, and what they have seen.
pub struct Load {
    pause: Duration,
    ended: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// No clients yet; each is to pause between its requests.
    pub fn new(pause: Duration) -> Self {
        Self { pause, ended: Arc::default(), seen: Arc::default(), clients: Vec::new() }
    }

    /// One more client.
    pub fn client(&mut self, what: &'static str, mut who: impl Asks) {
        let (client, pause) = (self.clients.len(), self.pause);
        let (ended, all) = (Arc::clone(&self.ended), Arc::clone(&self.seen));
        self.clients.push(tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let outcome = who.ask().await;
                all.lock().unwrap().push(Seen { client, what, asked, took: asked.elapsed(), outcome });
                sleep(pause).await;
            }
        }));
    }

    /// Whether the last three answers that each client has asked for since `since` are right.
    pub fn is_in_order(&self, since: Instant) -> bool {
        const IN_A_ROW: usize = 3;
        let mut right = vec![0; self.clients.len()];
        for seen in self.seen.lock().unwrap().iter().filter(|seen| seen.asked >= since) {
            right[seen.client] = if seen.outcome == Ok(200) { right[seen.client] + 1 } else { 0 };
        }
        right.iter().all(|count| *count >= IN_A_ROW)
    }

    /// Ends it: all that was seen.
    pub async fn end(self) -> Vec<Seen> {
        self.ended.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}
