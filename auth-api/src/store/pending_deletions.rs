//! The outbox to media-server: pending deletions of pictures (`migrations/V2__picture_deletions.sql`, V4).

use std::time::Duration;

use tokio_postgres::types::Type;

use super::StoreError;
use super::postgres::Executor;

/// Enqueues the deletion of a picture after `grace`, unless one is pending.
pub async fn enqueue(client: &impl Executor, picture_id: &str, grace: Duration) -> Result<(), StoreError> {
    let sql = "insert into picture_deletions (picture_id, due_at)
             values ($1, now() + make_interval(secs => $2))
             on conflict (picture_id) do nothing";
    client.execute(sql, &[(&picture_id, Type::TEXT), (&grace.as_secs_f64(), Type::FLOAT8)]).await?;
    Ok(())
}

/// Cancels the pending deletion of an upload. Returns false if there is none or it has begun: then the picture must get no
/// owner.
#[must_use = "a picture whose deletion could not be cancelled must get no owner"]
pub async fn cancel(client: &impl Executor, picture_id: &str) -> Result<bool, StoreError> {
    let sql = "delete from picture_deletions
             where picture_id = $1 and begun_at is null and not is_orphan";
    Ok(client.execute(sql, &[(&picture_id, Type::TEXT)]).await? == 1)
}

/// Cancels the due deletions of pictures that have an owner, and returns how many there were.
pub async fn cancel_owned(client: &impl Executor) -> Result<u64, StoreError> {
    let sql = "delete from picture_deletions as pending
             where due_at <= now()
               and begun_at is null
               and exists (
                   select from users
                   where profile_pic is not null and left(profile_pic, 32) collate \"C\" = pending.picture_id
               )";
    client.execute(sql, &[]).await
}

/// Claims the next due deletion of a picture without an owner, which from now on can't get one. It is due again after
/// `pause`, in case it is not [`complete`]d. Skips rows locked by other replicas.
pub async fn claim_next(client: &impl Executor, pause: Duration) -> Result<Option<String>, StoreError> {
    // Attaching an owner deletes the row. If that commits first there is no row to claim; if the claim is first the attach
    // fails on `begun_at`. Either way the `not exists` still holds when the row is locked.
    let sql = "update picture_deletions
             set begun_at = now(), due_at = now() + make_interval(secs => $1)
             where picture_id = (
                 select picture_id
                 from picture_deletions as pending
                 where due_at <= now()
                   and not exists (
                       select from users
                       where profile_pic is not null and left(profile_pic, 32) collate \"C\" = pending.picture_id
                   )
                 order by due_at
                 limit 1
                 for update skip locked
             )
             returning picture_id";
    Ok(client.query_opt(sql, &[(&pause.as_secs_f64(), Type::FLOAT8)]).await?.map(|row| row.get("picture_id")))
}

/// Completes the deletion of a picture.
pub async fn complete(client: &impl Executor, picture_id: &str) -> Result<(), StoreError> {
    let sql = "delete from picture_deletions where picture_id = $1";
    client.execute(sql, &[(&picture_id, Type::TEXT)]).await?;
    Ok(())
}
