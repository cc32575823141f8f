//! Connections that each do one exchange after the other, all at once.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::Error;
use crate::row::Sample;

/// A connection, and what it is to send next. It does one exchange at a time.
pub trait Chain: Send + 'static {
    /// Does the next exchange; false if it was refused.
    fn next(&mut self) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// Lets all chains run for `time`: exchanges a second. The last ones end after `time`: they count, and so does their time.
pub async fn drive<C: Chain>(chains: &mut Vec<C>, time: Duration) -> Result<Sample, Error> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut chain in chains.drain(..) {
        tasks.spawn(async move {
            let (mut done, mut refused) = (0_u32, 0_u64);
            while started.elapsed() < time {
                if chain.next().await? {
                    done += 1;
                } else {
                    refused += 1;
                }
            }
            Ok::<_, Error>((chain, done, refused))
        });
    }
    let mut sample = Sample::default();
    while let Some(ended) = tasks.join_next().await {
        let (chain, done, refused) = ended.map_err(Error::client)??;
        chains.push(chain);
        sample.value += f64::from(done);
        sample.refused += refused;
    }
    sample.value /= started.elapsed().as_secs_f64();
    Ok(sample)
}
