//! Pictures between Postgres and media-server: all or nothing, whatever crashes.
//!
//! A picture that is being uploaded has a note "delete this" in Postgres from before its first byte is sent until the
//! transaction that gives it an owner; one that loses its owner gets such a note in that very transaction. So a picture
//! has an owner or a note, and what is due is deleted without asking further (`migrations/V2__picture_deletions.sql`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use shared::media_api::{ImageId, ImageName};
use tokio::time::{MissedTickBehavior, interval};

use crate::App;
use crate::error::Error;
use crate::store::{StoreError, picture_deletions, within};

/// How long a picture that could not be deleted is left alone.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Pictures deleted in one sweep at most; the next sweep goes on.
const SWEEP_MAX: usize = 1000;

/// Stores a picture that has no owner yet: unless [`adopt`]ed within the grace, it is deleted.
pub async fn upload(app: &App, bytes: Bytes) -> Result<ImageName, Error> {
    let id = ImageId::new(&app.random);
    let note = async {
        let client = app.postgres.get().await?;
        picture_deletions::note(&client, &id.hex(), app.config.upload_grace).await
    };
    within(app.config.store_timeout, note).await?;
    app.media.store(id, bytes).await
}

/// In the transaction that makes somebody the owner of an uploaded picture. Fails where the grace is over: then the
/// picture may be gone, and the transaction must not commit.
pub async fn adopt(transaction: &Transaction<'_>, name: &ImageName) -> Result<(), Error> {
    if picture_deletions::call_off(transaction, name.id_hex()).await? {
        Ok(())
    } else {
        Err(Error::MediaServer("the upload took longer than its grace".to_owned()))
    }
}

/// In the transaction that takes a picture from its owner: it is due at once.
pub async fn abandon(transaction: &Transaction<'_>, name: &ImageName) -> Result<(), StoreError> {
    picture_deletions::note(transaction, name.id_hex(), Duration::ZERO).await
}

/// Deletes an abandoned picture before the answer is sent. Where that fails, the next sweep does it.
pub async fn delete_now(app: &App, name: &ImageName) {
    let Ok(id) = ImageId::parse(name.id_hex()) else { return };
    let deleted = async {
        app.media.delete(id).await?;
        let client = app.postgres.get().await?;
        // A sweep may have been quicker.
        let _ = picture_deletions::call_off(&client, &id.hex()).await?;
        Ok::<_, Error>(())
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
    // media-server is asked twice at most; what Postgres is asked comes before and after.
    let limit = app.config.media.timeout * 2 + app.config.store_timeout * 2;
    for deleted in 0..SWEEP_MAX {
        if !within(limit, sweep_one(app)).await? {
            return Ok(deleted);
        }
    }
    Ok(SWEEP_MAX)
}

/// Deletes one picture that is due. The note is locked meanwhile: who would adopt the picture waits, and then finds no
/// note. False if nothing is due.
async fn sweep_one(app: &App) -> Result<bool, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    let Some(picture_id) = picture_deletions::lock_due(&transaction).await? else { return Ok(false) };
    if let Ok(id) = ImageId::parse(&picture_id)
        && let Err(error) = app.media.delete(id).await
    {
        picture_deletions::postpone(&transaction, &picture_id, RETRY_PAUSE).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        return Err(error);
    }
    let _ = picture_deletions::call_off(&transaction, &picture_id).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(true)
}
