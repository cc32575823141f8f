//! The outbox to media-server: pictures that it shall delete (see `migrations/V2__picture_deletions.sql`).

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::StoreError;

/// Notes that the picture shall be deleted after `grace`; a note that is there already stays as it is.
pub async fn note(client: &impl GenericClient, picture_id: &str, grace: Duration) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "insert into picture_deletions (picture_id, due_at)
             values ($1, now() + make_interval(secs => $2))
             on conflict (picture_id) do nothing",
        )
        .await?;
    client.execute(&statement, &[&picture_id, &grace.as_secs_f64()]).await?;
    Ok(())
}

/// Takes the note back. False if there was none: then the picture is deleted or about to be, and must get no owner.
#[must_use = "a picture whose deletion could not be called off must get no owner"]
pub async fn call_off(client: &impl GenericClient, picture_id: &str) -> Result<bool, StoreError> {
    let statement = client.prepare_cached("delete from picture_deletions where picture_id = $1").await?;
    Ok(client.execute(&statement, &[&picture_id]).await? == 1)
}

/// The next picture that is due, locked until the transaction ends, so that nobody else deletes it and nobody gives it
/// an owner meanwhile; those that others have locked are passed over.
pub async fn lock_due(client: &impl GenericClient) -> Result<Option<String>, StoreError> {
    let statement = client
        .prepare_cached(
            "select picture_id
             from picture_deletions
             where due_at <= now()
             order by due_at
             limit 1
             for update skip locked",
        )
        .await?;
    Ok(client.query_opt(&statement, &[]).await?.map(|row| row.get("picture_id")))
}

/// Leaves a picture alone for a while.
pub async fn postpone(client: &impl GenericClient, picture_id: &str, pause: Duration) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "update picture_deletions
             set due_at = now() + make_interval(secs => $2)
             where picture_id = $1",
        )
        .await?;
    client.execute(&statement, &[&picture_id, &pause.as_secs_f64()]).await?;
    Ok(())
}
