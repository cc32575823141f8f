//! Reads of one account, many in one statement.
//!
//! What neither memory nor a copy tells ([`super::reads`]) is read from Postgres, which is the truth. The reads that arrive
//! while one statement runs go together into the next, so that under load a read costs a fraction of a statement, and at
//! rest it waits for nobody.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::users::{self, User};
use super::{StoreError, within};

/// Accounts read with one statement at most.
const BATCH_MAX: usize = 256;

/// Reads that may wait; past it they are refused at once.
const WAITING_MAX: usize = 8192;

/// Where to ask for an account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserReads {
    waiting: mpsc::Sender<Read>,
    limit: Duration,
}

#[derive(Debug)]
struct Read {
    id: Uuid,
    reply: oneshot::Sender<Option<User>>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.id)
    }
}

impl UserReads {
    /// Starts reading from `pool`, on a task that ends with the last clone; an answer comes within `limit` or not at all.
    pub fn start(pool: Pool, limit: Duration) -> Self {
        let (waiting, reads) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(pool, reads, limit));
        Self { waiting, limit }
    }

    /// The account, or `None` if there is none with this id.
    pub async fn find(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.waiting.try_send(Read { id, reply }).map_err(|_| StoreError::Busy)?;
        match timeout(self.limit, answer).await {
            Ok(Ok(user)) => Ok(user),
            Ok(Err(_)) => Err(StoreError::NoConnection("the read failed".to_owned())),
            Err(_) => Err(StoreError::Timeout("Postgres")),
        }
    }
}

async fn run(pool: Pool, mut reads: mpsc::Receiver<Read>, limit: Duration) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while reads.recv_many(&mut batch, BATCH_MAX).await > 0 {
        batch.retain(|read| !read.reply.is_closed());
        let ids: Vec<Uuid> = batch.iter().map(|read| read.id).collect();
        let found = within(limit, async {
            let client = pool.get().await?;
            users::find_many(&client, &ids).await
        });
        match found.await {
            Ok(found) => answer(&mut batch, found),
            Err(error) => {
                tracing::warn!(%error, reads = batch.len(), "reading accounts failed");
                // Dropping the replies tells those who wait.
                batch.clear();
            }
        }
    }
}

fn answer(batch: &mut Vec<Read>, mut found: Vec<User>) {
    found.sort_unstable_by_key(|user| user.id);
    for Read { id, reply } in batch.drain(..) {
        let user = found.binary_search_by_key(&id, |user| user.id).ok().and_then(|at| found.get(at)).cloned();
        // Who asked may have gone away.
        let _ = reply.send(user);
    }
}
