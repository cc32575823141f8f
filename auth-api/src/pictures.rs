//! Pictures between Postgres and media-server: all or nothing, whatever crashes.
//!
//! A picture that is being uploaded has a note "delete this" in Postgres from before its first byte is sent until the
//! transaction that gives it an owner; one that loses its owner gets such a note in that very transaction. So a picture
//! has an owner or a note, and what is due is deleted (`migrations/V2__picture_deletions.sql`). What has neither, whatever
//! the reason, is found by comparing: [`orphans`].

pub mod orphans;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use shared::media_api::{ImageId, ImageName};
use tokio::time::{MissedTickBehavior, interval};

use crate::App;
use crate::error::Error;
use crate::store::{StoreError, pending_deletions, within};

/// After this a deletion that has begun is begun again: media-server could not be reached, or who began it is gone.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Pictures deleted in one sweep at most; the next sweep goes on.
const SWEEP_MAX: usize = 1000;

/// Stores a picture that has no owner yet: unless [`adopt`]ed within the grace, it is deleted.
pub async fn upload(app: &App, bytes: Bytes) -> Result<ImageName, Error> {
    let id = ImageId::new(&app.random);
    let note = async {
        let client = app.postgres.get().await?;
        pending_deletions::enqueue(&client, &id.hex(), app.config.upload_grace).await
    };
    within(app.config.store_timeout, note).await?;
    app.media.store(id, bytes).await
}

/// In the transaction that makes somebody the owner of an uploaded picture. Fails where the grace is over: then the
/// picture may be gone, and the transaction must not commit.
pub async fn adopt(transaction: &Transaction<'_>, name: &ImageName) -> Result<(), Error> {
    if pending_deletions::cancel(transaction, name.id_hex()).await? {
        Ok(())
    } else {
        Err(Error::MediaServer("the upload took longer than its grace".to_owned()))
    }
}

/// In the transaction that takes a picture from its owner: it is due at once.
pub async fn abandon(transaction: &Transaction<'_>, name: &ImageName) -> Result<(), StoreError> {
    pending_deletions::enqueue(transaction, name.id_hex(), Duration::ZERO).await
}

/// Deletes an abandoned picture before the answer is sent. Where that fails, the next sweep does it.
pub async fn delete_now(app: &App, name: &ImageName) {
    let Ok(id) = ImageId::parse(name.id_hex()) else { return };
    let deleted = async {
        app.media.delete(id).await?;
        let client = app.postgres.get().await?;
        Ok::<_, Error>(pending_deletions::complete(&client, &id.hex()).await?)
    };
    if let Err(error) = within(app.config.store_timeout, deleted).await {
        tracing::warn!(%error, "a picture waits for the next sweep to be deleted");
    }
}

/// Deletes what is due, again and again, until the process ends. Replicas share the work.
pub async fn sweep_for_ever(app: Arc<App>) {
    let mut ticks = interval(app.config.sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sweep(&app).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "deleted pictures without an owner"),
            Err(error) => tracing::warn!(%error, "a sweep broke off"),
        }
    }
}

async fn sweep(app: &App) -> Result<usize, Error> {
    let forget = async { pending_deletions::cancel_owned(&app.postgres.get().await?).await };
    let forgotten = within(app.config.store_timeout, forget).await?;
    if forgotten > 0 {
        tracing::warn!(forgotten, "pictures with an owner were due to be deleted: they stay");
    }
    for deleted in 0..SWEEP_MAX {
        if !sweep_one(app).await? {
            return Ok(deleted);
        }
    }
    Ok(SWEEP_MAX)
}

/// Deletes one picture that is due. False if nothing is.
async fn sweep_one(app: &App) -> Result<bool, Error> {
    let begin = async { pending_deletions::claim_next(&app.postgres.get().await?, RETRY_PAUSE).await };
    let Some(picture_id) = within(app.config.store_timeout, begin).await? else { return Ok(false) };
    if let Ok(id) = ImageId::parse(&picture_id) {
        app.media.delete(id).await?;
    }
    let finish = async { pending_deletions::complete(&app.postgres.get().await?, &picture_id).await };
    within(app.config.store_timeout, finish).await?;
    Ok(true)
}
