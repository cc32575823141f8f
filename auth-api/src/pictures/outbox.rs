//! The transactional outbox of picture deletions (`migrations/V2__picture_deletions.sql`), and its worker.
//!
//! An upload enqueues a deletion before its first byte is sent; the transaction that attaches the picture to a user cancels
//! it. The transaction that detaches a picture enqueues its deletion. So a picture has an owner or a pending deletion at any
//! crash point. [`super::reconcile`] finds pictures with neither.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::http::access::request_id;
use shared::media_api::{ImageId, ImageName};
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::error::Error;
use crate::store::postgres::Transaction;
use crate::store::{StoreError, pending_deletions, within};

/// Pause before a claimed deletion that was not completed is claimed again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Limit of deletions per run of the worker.
const BATCH_MAX: usize = 1000;

/// Stores a picture. It is deleted unless [`attach`] is called within the grace period.
pub async fn upload(app: &App, bytes: Bytes) -> Result<ImageName, Error> {
    let id = ImageId::new(&app.random);
    let enqueue = async {
        let client = app.postgres.get().await?;
        pending_deletions::enqueue(&client, &id.hex(), app.config.upload_grace).await
    };
    within(app.config.store_timeout, enqueue).await?;
    app.media.store(id, bytes).await
}

/// Cancels the deletion of an uploaded picture, in the transaction that attaches it to a user. Fails after the grace period:
/// the picture may be deleted, and the transaction must not commit.
pub async fn attach(transaction: &Transaction<'_>, name: &ImageName) -> Result<(), Error> {
    if pending_deletions::cancel(transaction, name.id_hex()).await? {
        Ok(())
    } else {
        Err(Error::MediaServer("the upload took longer than its grace period".to_owned()))
    }
}

/// Enqueues the deletion of a picture, in the transaction that detaches it from its user.
pub async fn detach(transaction: &Transaction<'_>, name: &ImageName) -> Result<(), StoreError> {
    pending_deletions::enqueue(transaction, name.id_hex(), Duration::ZERO).await
}

/// Deletes a detached picture before the response is sent. On failure the worker retries.
pub async fn delete_now(app: &App, name: &ImageName) {
    let Ok(id) = ImageId::parse(name.id_hex()) else { return };
    let deleted = async {
        app.media.delete(id).await?;
        let client = app.postgres.get().await?;
        Ok::<_, Error>(pending_deletions::complete(&client, &id.hex()).await?)
    };
    if let Err(error) = within(app.config.store_timeout, deleted).await {
        tracing::warn!(request_id = %request_id(), %error, "deletion of a picture failed; the worker will retry");
    }
}

/// Deletes due pictures periodically. Replicas share the work. Never returns.
pub async fn deletion_worker(app: Arc<App>) {
    let mut ticks = interval(app.config.deletion_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match delete_due(&app).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "deleted pictures without an owner"),
            Err(error) => tracing::warn!(%error, "deletion of due pictures failed; retrying at the next interval"),
        }
    }
}

async fn delete_due(app: &App) -> Result<usize, Error> {
    let cancel = async { pending_deletions::cancel_owned(&app.postgres.get().await?).await };
    let canceled = within(app.config.store_timeout, cancel).await?;
    if canceled > 0 {
        tracing::warn!(canceled, "pictures with an owner were due for deletion; canceled");
    }
    for deleted in 0..BATCH_MAX {
        if !delete_next(app).await? {
            return Ok(deleted);
        }
    }
    Ok(BATCH_MAX)
}

/// Deletes the next due picture. Returns false if there is none.
async fn delete_next(app: &App) -> Result<bool, Error> {
    let claim = async { pending_deletions::claim_next(&app.postgres.get().await?, RETRY_PAUSE).await };
    let Some(picture_id) = within(app.config.store_timeout, claim).await? else { return Ok(false) };
    if let Ok(id) = ImageId::parse(&picture_id) {
        app.media.delete(id).await?;
    }
    let complete = async { pending_deletions::complete(&app.postgres.get().await?, &picture_id).await };
    within(app.config.store_timeout, complete).await?;
    Ok(true)
}
