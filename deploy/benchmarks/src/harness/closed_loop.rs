//! Closed-loop load: concurrent connections, each with one request in flight.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::row::Sample;

/// A client that sends its next request when it has the response to the one before.
pub trait ClosedLoop: Send + 'static {
    /// Does the next exchange; returns false if it was refused.
    fn next(&mut self) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// Runs all clients for `time` and returns exchanges per second. Exchanges that end after `time` count, and so does their
/// time.
pub async fn drive<C: ClosedLoop>(clients: &mut Vec<C>, time: Duration) -> Result<Sample, Error> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients.drain(..) {
        tasks.spawn(async move {
            let (mut done, mut refused) = (0_u32, 0_u64);
            while started.elapsed() < time {
                if client.next().await? {
                    done += 1;
                } else {
                    refused += 1;
                }
            }
            Ok::<_, Error>((client, done, refused))
        });
    }
    let mut sample = Sample::default();
    while let Some(ended) = tasks.join_next().await {
        let (client, done, refused) = ended.map_err(Error::client)??;
        clients.push(client);
        sample.value += f64::from(done);
        sample.refused += refused;
    }
    sample.value /= started.elapsed().as_secs_f64();
    Ok(sample)
}
