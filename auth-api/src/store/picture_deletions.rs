//! The outbox to media-server: pictures that it shall delete (see `migrations/V2__picture_deletions.sql` and V4).

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

/// Takes the note of an upload back. False if there is none, or the deletion has begun: then the picture must get no owner.
#[must_use = "a picture whose deletion could not be called off must get no owner"]
pub async fn call_off(client: &impl GenericClient, picture_id: &str) -> Result<bool, StoreError> {
    let statement = client
        .prepare_cached(
            "delete from picture_deletions
             where picture_id = $1 and begun_at is null and not is_orphan",
        )
        .await?;
    Ok(client.execute(&statement, &[&picture_id]).await? == 1)
}

/// Drops the notes that are due of pictures that have an owner, and returns how many there were.
pub async fn forget_owned(client: &impl GenericClient) -> Result<u64, StoreError> {
    let statement = client
        .prepare_cached(
            "delete from picture_deletions as note
             where due_at <= now()
               and begun_at is null
               and exists (
                   select from users
                   where profile_pic is not null and left(profile_pic, 32) collate \"C\" = note.picture_id
               )",
        )
        .await?;
    Ok(client.execute(&statement, &[]).await?)
}

/// Begins the deletion of the next picture that is due and has no owner; from here on it can't get one. It is due again
/// after `pause`, for the case that who has begun it does not [`finish`]. Those that others have locked are passed over.
pub async fn begin_due(client: &impl GenericClient, pause: Duration) -> Result<Option<String>, StoreError> {
    // Whoever becomes the owner takes the note away: before the lock, and there is no note to be locked, or after it, and
    // they find that the deletion has begun. So what the statement sees of owners is still true when it locks the note.
    let statement = client
        .prepare_cached(
            "update picture_deletions
             set begun_at = now(), due_at = now() + make_interval(secs => $1)
             where picture_id = (
                 select picture_id
                 from picture_deletions as note
                 where due_at <= now()
                   and not exists (
                       select from users
                       where profile_pic is not null and left(profile_pic, 32) collate \"C\" = note.picture_id
                   )
                 order by due_at
                 limit 1
                 for update skip locked
             )
             returning picture_id",
        )
        .await?;
    Ok(client.query_opt(&statement, &[&pause.as_secs_f64()]).await?.map(|row| row.get("picture_id")))
}

/// The picture is deleted: so is its note.
pub async fn finish(client: &impl GenericClient, picture_id: &str) -> Result<(), StoreError> {
    let statement = client.prepare_cached("delete from picture_deletions where picture_id = $1").await?;
    client.execute(&statement, &[&picture_id]).await?;
    Ok(())
}
