//! Batching loader of users (the `DataLoader` pattern).
//!
//! The loads that arrive while one `SELECT` runs share the next: under load a user costs a fraction of a statement, at rest
//! a load starts at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::store::postgres::Postgres;
use crate::store::users::{self, User};
use crate::store::{StoreError, within};

/// Maximum users of one statement.
const BATCH_MAX: usize = 256;

/// Maximum loads in the queue; further ones fail with [`StoreError::Busy`].
const QUEUE_MAX: usize = 8192;

/// Loads users from Postgres. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserLoader {
    queue: mpsc::Sender<Load>,
    timeout: Duration,
}

#[derive(Debug)]
struct Load {
    id: Uuid,
    reply: oneshot::Sender<Option<User>>,
}

impl UserLoader {
    /// Starts the loading task, which ends with the last clone. A load fails after `timeout`.
    pub fn start(pool: Postgres, timeout: Duration) -> Self {
        let (queue, loads) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(run(pool, loads, timeout));
        Self { queue, timeout }
    }

    /// Returns the user, or `None` if there is none with this id.
    pub async fn load(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        let (reply, user) = oneshot::channel();
        self.queue.try_send(Load { id, reply }).map_err(|_| StoreError::Busy)?;
        match timeout(self.timeout, user).await {
            Ok(Ok(user)) => Ok(user),
            Ok(Err(_)) => Err(StoreError::NoConnection("loading users failed".to_owned())),
            Err(_) => Err(StoreError::Timeout("Postgres")),
        }
    }
}

async fn run(pool: Postgres, mut loads: mpsc::Receiver<Load>, timeout: Duration) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while loads.recv_many(&mut batch, BATCH_MAX).await > 0 {
        batch.retain(|load| !load.reply.is_closed());
        let ids: Vec<Uuid> = batch.iter().map(|load| load.id).collect();
        let found = within(timeout, async { users::find_many(&pool.get().await?, &ids).await });
        match found.await {
            Ok(found) => reply(&mut batch, found),
            Err(error) => {
                tracing::warn!(%error, users = batch.len(), "loading users from Postgres failed; their requests are answered with 503");
                // Dropping the replies fails the loads.
                batch.clear();
            }
        }
    }
}

fn reply(batch: &mut Vec<Load>, mut found: Vec<User>) {
    found.sort_unstable_by_key(|user| user.id);
    for Load { id, reply } in batch.drain(..) {
        let user = found.binary_search_by_key(&id, |user| user.id).ok().and_then(|at| found.get(at)).cloned();
        // The caller may have timed out.
        let _ = reply.send(user);
    }
}
