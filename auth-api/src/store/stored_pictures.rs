//! Owners of the pictures that media-server stores, for their reconciliation (`migrations/V4__picture_orphans.sql`).

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::StoreError;
use super::postgres::Executor;

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
    client: &impl Executor,
    picture_ids: &[String],
    grace: Duration,
) -> Result<u64, StoreError> {
    // One statement has one snapshot, and attaching an owner deletes the pending deletion in the same transaction.
    let sql = "insert into picture_deletions (picture_id, due_at, is_orphan)
             select picture_id, now() + make_interval(secs => $2), true
             from unnest($1::text[]) as stored (picture_id)
             where not exists (
                 select from users
                 where profile_pic is not null and left(profile_pic, 32) collate \"C\" = stored.picture_id
             )
             on conflict (picture_id) do nothing";
    client.execute(sql, &[(&picture_ids, Type::TEXT_ARRAY), (&grace.as_secs_f64(), Type::FLOAT8)]).await
}

/// Returns the owners of pictures after `after` and through `through`, in the order of picture ids; at most `limit`.
pub async fn owners_between(
    client: &impl Executor,
    after: &str,
    through: &str,
    limit: i64,
) -> Result<Vec<Owner>, StoreError> {
    let sql = "select id, left(profile_pic, 32) as picture_id
             from users
             where profile_pic is not null
               and left(profile_pic, 32) collate \"C\" > $1
               and left(profile_pic, 32) collate \"C\" <= $2
             order by left(profile_pic, 32) collate \"C\"
             limit $3";
    Ok(client
        .query(sql, &[(&after, Type::TEXT), (&through, Type::TEXT), (&limit, Type::INT8)])
        .await?
        .iter()
        .map(Owner::of)
        .collect())
}

/// Returns those of these users that have a picture.
pub async fn owners_among(client: &impl Executor, user_ids: &[Uuid]) -> Result<Vec<Owner>, StoreError> {
    let sql = "select id, left(profile_pic, 32) as picture_id
             from users
             where id = any($1) and profile_pic is not null";
    Ok(client.query(sql, &[(&user_ids, Type::UUID_ARRAY)]).await?.iter().map(Owner::of).collect())
}

/// Claims the next reconciliation. Returns false if the last one of any replica began less than `interval` ago.
pub async fn begin_reconciliation(client: &impl Executor, interval: Duration) -> Result<bool, StoreError> {
    let sql = "update orphan_sweeps
             set begun_at = now()
             where begun_at <= now() - make_interval(secs => $1)";
    Ok(client.execute(sql, &[(&interval.as_secs_f64(), Type::FLOAT8)]).await? == 1)
}
