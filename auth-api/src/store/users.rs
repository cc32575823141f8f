//! Users, in Postgres.

use shared::media_api::ImageName;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::StoreError;
use super::postgres::Executor;
use crate::domain::{Email, FullName};

/// A row of `users`, without the password hash.
#[derive(Clone)]
pub struct User {
    pub id: Uuid,
    /// Incremented by each update.
    pub version: i64,
    /// In its display form.
    pub email: String,
    pub full_name: String,
    pub profile_pic: Option<ImageName>,
    /// Random id that changes with the password; a session is alive while its stamp matches.
    pub password_stamp: Uuid,
    pub is_disabled: bool,
}

/// Shows the id only: the other fields are personal data.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.id)
    }
}

/// A user to insert.
pub struct NewUser<'a> {
    pub id: Uuid,
    pub email: &'a Email,
    pub full_name: &'a FullName,
    /// A PHC string.
    pub password_hash: &'a str,
    pub password_stamp: Uuid,
    /// A picture that is already stored.
    pub profile_pic: Option<&'a ImageName>,
}

/// Changes of a user; `None` leaves a field unchanged.
#[derive(Default)]
pub struct Changes<'a> {
    pub email: Option<&'a Email>,
    pub full_name: Option<&'a FullName>,
    /// A PHC string, and the new password stamp.
    pub password: Option<(&'a str, Uuid)>,
    /// `Some(None)` removes the picture.
    pub profile_pic: Option<Option<&'a ImageName>>,
}

/// A user with the password hash.
pub struct Credentials {
    pub user: User,
    /// A PHC string.
    pub password_hash: String,
}

fn user(row: &Row) -> User {
    let profile_pic: Option<&str> = row.get("profile_pic");
    User {
        id: row.get("id"),
        version: row.get("version"),
        email: row.get("email"),
        full_name: row.get("full_name"),
        profile_pic: profile_pic.and_then(|name| ImageName::parse(name).ok()),
        password_stamp: row.get("password_stamp"),
        is_disabled: row.get("is_disabled"),
    }
}

/// Inserts a user.
pub async fn insert(client: &impl Executor, new: &NewUser<'_>) -> Result<User, StoreError> {
    let sql = "insert into users (id, email, email_canonical, full_name, password_hash, password_stamp, profile_pic)
             values ($1, $2, $3, $4, $5, $6, $7)
             returning id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled";
    let row = client
        .query_one(
            sql,
            &[
                (&new.id, Type::UUID),
                (&new.email.as_str(), Type::TEXT),
                (&new.email.as_str(), Type::TEXT),
                (&new.full_name.as_str(), Type::TEXT),
                (&new.password_hash, Type::TEXT),
                (&new.password_stamp, Type::UUID),
                (&new.profile_pic.map(ImageName::as_str), Type::TEXT),
            ],
        )
        .await
        .map_err(constraint)?;
    Ok(user(&row))
}

/// Updates a user and returns the new row; `None` if it does not exist.
pub async fn update(client: &impl Executor, id: Uuid, changes: &Changes<'_>) -> Result<Option<User>, StoreError> {
    let sql = "update users
             set email = coalesce($2, email),
                 email_canonical = coalesce($3, email_canonical),
                 full_name = coalesce($4, full_name),
                 password_hash = coalesce($5, password_hash),
                 password_stamp = coalesce($6, password_stamp),
                 profile_pic = case when $7 then $8 else profile_pic end,
                 updated_at = now()
             where id = $1
             returning id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled";
    let row = client
        .query_opt(
            sql,
            &[
                (&id, Type::UUID),
                (&changes.email.map(Email::as_str), Type::TEXT),
                (&changes.email.map(Email::as_str), Type::TEXT),
                (&changes.full_name.map(FullName::as_str), Type::TEXT),
                (&changes.password.map(|(hash, _)| hash), Type::TEXT),
                (&changes.password.map(|(_, stamp)| stamp), Type::UUID),
                (&changes.profile_pic.is_some(), Type::BOOL),
                (&changes.profile_pic.flatten().map(ImageName::as_str), Type::TEXT),
            ],
        )
        .await
        .map_err(constraint)?;
    Ok(row.as_ref().map(user))
}

/// Maps the violation of a named constraint to its error.
fn constraint(error: StoreError) -> StoreError {
    let StoreError::Postgres(cause) = &error else { return error };
    let violated = cause.as_db_error().filter(|error| *error.code() == SqlState::UNIQUE_VIOLATION);
    match violated.and_then(|error| error.constraint()) {
        Some("users_email_key") => StoreError::EmailTaken,
        _ => error,
    }
}

/// Returns the user, locked until the transaction ends.
pub async fn find_for_update(client: &impl Executor, id: Uuid) -> Result<Option<User>, StoreError> {
    let sql =
        "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled
             from users
             where id = $1
             for update";
    Ok(client.query_opt(sql, &[(&id, Type::UUID)]).await?.as_ref().map(user))
}

/// Returns the users of these ids that exist, in any order.
pub async fn find_many(client: &impl Executor, ids: &[Uuid]) -> Result<Vec<User>, StoreError> {
    let sql =
        "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled
             from users
             where id = any($1)";
    Ok(client.query(sql, &[(&ids, Type::UUID_ARRAY)]).await?.iter().map(user).collect())
}

/// Returns the user of an e-mail address in canonical form.
pub async fn find_credentials(client: &impl Executor, email: &str) -> Result<Option<Credentials>, StoreError> {
    let sql =
        "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled,
                    password_hash
             from users
             where email_canonical = $1";
    Ok(client.query_opt(sql, &[(&email, Type::TEXT)]).await?.as_ref().map(credentials))
}

/// Returns the user of an id.
pub async fn find_credentials_by_id(client: &impl Executor, id: Uuid) -> Result<Option<Credentials>, StoreError> {
    let sql =
        "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled,
                    password_hash
             from users
             where id = $1";
    Ok(client.query_opt(sql, &[(&id, Type::UUID)]).await?.as_ref().map(credentials))
}

fn credentials(row: &Row) -> Credentials {
    Credentials { user: user(row), password_hash: row.get("password_hash") }
}

/// Whether another user than `except` has this address: reports it together with other validation errors. The constraint
/// decides.
pub async fn is_email_taken(client: &impl Executor, email: &Email, except: Option<Uuid>) -> Result<bool, StoreError> {
    let sql = "select exists (select from users where email_canonical = $1 and id is distinct from $2)";
    Ok(client.query_one(sql, &[(&email.as_str(), Type::TEXT), (&except, Type::UUID)]).await?.get(0))
}

/// Deletes a user. Returns false if it does not exist.
pub async fn delete(client: &impl Executor, id: Uuid) -> Result<bool, StoreError> {
    let sql = "delete from users where id = $1";
    Ok(client.execute(sql, &[(&id, Type::UUID)]).await? > 0)
}

/// Replaces the hash that was just verified by one with current parameters, unless it has changed since.
pub async fn rehash(client: &impl Executor, id: Uuid, old_hash: &str, new_hash: &str) -> Result<(), StoreError> {
    let sql = "update users set password_hash = $3 where id = $1 and password_hash = $2";
    client.execute(sql, &[(&id, Type::UUID), (&old_hash, Type::TEXT), (&new_hash, Type::TEXT)]).await?;
    Ok(())
}
