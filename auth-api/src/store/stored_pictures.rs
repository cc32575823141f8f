//! Owners of the pictures that media-server stores, for their reconciliation (`migrations/V4__picture_orphans.sql`).

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::StoreError;

/// A user with a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user_id: Uuid,
    pub picture_id: String,
}

impl Owner {
    fn of(row: &Row) -> Self {
        Self { user_id: row.get("id"), picture_id: row.get("picture_id") }
    }
}

/// Enqueues the deletion after `grace` of those of these pictures that have neither an owner nor a pending deletion, and
/// returns how many they are.
pub async fn enqueue_orphans(
    client: &impl GenericClient,
    picture_ids: &[String],
    grace: Duration,
) -> Result<u64, StoreError> {
    // One statement has one snapshot, and attaching an owner deletes the pending deletion in the same transaction.
    let statement = client
        .prepare_cached(
            "insert into picture_deletions (picture_id, due_at, is_orphan)
             select picture_id, now() + make_interval(secs => $2), true
             from unnest($1::text[]) as stored (picture_id)
             where not exists (
                 select from users
                 where profile_pic is not null and left(profile_pic, 32) collate \"C\" = stored.picture_id
             )
             on conflict (picture_id) do nothing",
        )
        .await?;
    Ok(client.execute(&statement, &[&picture_ids, &grace.as_secs_f64()]).await?)
}

/// Returns the owners of pictures after `after` and through `through`, in the order of picture ids; at most `limit`.
pub async fn owners_between(
    client: &impl GenericClient,
    after: &str,
    through: &str,
    limit: i64,
) -> Result<Vec<Owner>, StoreError> {
    let statement = client
        .prepare_cached(
            "select id, left(profile_pic, 32) as picture_id
             from users
             where profile_pic is not null
               and left(profile_pic, 32) collate \"C\" > $1
               and left(profile_pic, 32) collate \"C\" <= $2
             order by left(profile_pic, 32) collate \"C\"
             limit $3",
        )
        .await?;
    Ok(client.query(&statement, &[&after, &through, &limit]).await?.iter().map(Owner::of).collect())
}

/// Returns those of these users that have a picture.
pub async fn owners_among(client: &impl GenericClient, user_ids: &[Uuid]) -> Result<Vec<Owner>, StoreError> {
    let statement = client
        .prepare_cached(
            "select id, left(profile_pic, 32) as picture_id
             from users
             where id = any($1) and profile_pic is not null",
        )
        .await?;
    Ok(client.query(&statement, &[&user_ids]).await?.iter().map(Owner::of).collect())
}

/// Claims the next reconciliation. Returns false if the last one of any replica began less than `interval` ago.
pub async fn begin_reconciliation(client: &impl GenericClient, interval: Duration) -> Result<bool, StoreError> {
    let statement = client
        .prepare_cached(
            "update orphan_sweeps
             set begun_at = now()
             where begun_at <= now() - make_interval(secs => $1)",
        )
        .await?;
    Ok(client.execute(&statement, &[&interval.as_secs_f64()]).await? == 1)
}
