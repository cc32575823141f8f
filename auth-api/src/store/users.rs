//! Accounts.

use deadpool_postgres::GenericClient;
use shared::media_api::ImageName;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Email, FullName};

/// An account as it stands in the database. It has no `Debug`: its fields tell about a person.
#[derive(Clone)]
pub struct User {
    /// Its id, never used again.
    pub id: Uuid,
    /// Grows with each change.
    pub version: i64,
    /// As the person is shown it.
    pub email: String,
    /// The person's name.
    pub full_name: String,
    /// The picture, if there is one.
    pub profile_pic: Option<ImageName>,
    /// Sessions bear it; it changes with the password.
    pub password_stamp: Uuid,
    /// A disabled account can't be signed in to.
    pub is_disabled: bool,
}

/// An account to be made.
pub struct NewUser<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    pub email: &'a Email,
    /// The person's name.
    pub full_name: &'a FullName,
    /// A PHC string.
    pub password_hash: &'a str,
    /// Random.
    pub password_stamp: Uuid,
    /// A picture that is stored already.
    pub profile_pic: Option<&'a ImageName>,
}

/// What changes in an account; `None` stays as it is.
#[derive(Default)]
pub struct Changes<'a> {
    /// Another address.
    pub email: Option<&'a Email>,
    /// Another name.
    pub full_name: Option<&'a FullName>,
    /// Another password: its PHC string, and the new stamp.
    pub password: Option<(&'a str, Uuid)>,
    /// Another picture, or none.
    pub profile_pic: Option<Option<&'a ImageName>>,
}

/// The account and its password's hash.
pub struct Credentials {
    /// The account.
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

/// Makes an account.
pub async fn insert(client: &impl GenericClient, new: &NewUser<'_>) -> Result<User, StoreError> {
    let statement = client
        .prepare_cached(
            "insert into users (id, email, email_canonical, full_name, password_hash, password_stamp, profile_pic)
             values ($1, $2, $3, $4, $5, $6, $7)
             returning id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled",
        )
        .await?;
    let row = client
        .query_one(
            &statement,
            &[
                &new.id,
                &new.email.display(),
                &new.email.canonical(),
                &new.full_name.as_str(),
                &new.password_hash,
                &new.password_stamp,
                &new.profile_pic.map(ImageName::as_str),
            ],
        )
        .await
        .map_err(constraint)?;
    Ok(user(&row))
}

/// Changes an account, and returns it as it is then; `None` if it is gone.
pub async fn update(client: &impl GenericClient, id: Uuid, changes: &Changes<'_>) -> Result<Option<User>, StoreError> {
    let statement = client
        .prepare_cached(
            "update users
             set email = coalesce($2, email),
                 email_canonical = coalesce($3, email_canonical),
                 full_name = coalesce($4, full_name),
                 password_hash = coalesce($5, password_hash),
                 password_stamp = coalesce($6, password_stamp),
                 profile_pic = case when $7 then $8 else profile_pic end,
                 updated_at = now()
             where id = $1
             returning id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled",
        )
        .await?;
    let row = client
        .query_opt(
            &statement,
            &[
                &id,
                &changes.email.map(Email::display),
                &changes.email.map(Email::canonical),
                &changes.full_name.map(FullName::as_str),
                &changes.password.map(|(hash, _)| hash),
                &changes.password.map(|(_, stamp)| stamp),
                &changes.profile_pic.is_some(),
                &changes.profile_pic.flatten().map(ImageName::as_str),
            ],
        )
        .await
        .map_err(constraint)?;
    Ok(row.as_ref().map(user))
}

/// A constraint's name is an error's name.
fn constraint(error: tokio_postgres::Error) -> StoreError {
    let violated = error
        .as_db_error()
        .filter(|error| *error.code() == SqlState::UNIQUE_VIOLATION)
        .and_then(|error| error.constraint());
    match violated {
        Some("users_email_key") => StoreError::EmailTaken,
        _ => error.into(),
    }
}

/// The account, locked until the transaction ends.
pub async fn find_for_update(client: &impl GenericClient, id: Uuid) -> Result<Option<User>, StoreError> {
    let statement = client
        .prepare_cached(
            "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled
             from users
             where id = $1
             for update",
        )
        .await?;
    Ok(client.query_opt(&statement, &[&id]).await?.as_ref().map(user))
}

/// The accounts of these ids that exist, in any order.
pub async fn find_many(client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<User>, StoreError> {
    let statement = client
        .prepare_cached(
            "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled
             from users
             where id = any($1)",
        )
        .await?;
    Ok(client.query(&statement, &[&ids]).await?.iter().map(user).collect())
}

/// The account of an address in canonical form, with its password's hash.
pub async fn find_credentials(client: &impl GenericClient, email: &str) -> Result<Option<Credentials>, StoreError> {
    let statement = client
        .prepare_cached(
            "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled,
                    password_hash
             from users
             where email_canonical = $1",
        )
        .await?;
    Ok(client.query_opt(&statement, &[&email]).await?.as_ref().map(credentials))
}

/// The account of an id, with its password's hash.
pub async fn find_credentials_by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Credentials>, StoreError> {
    let statement = client
        .prepare_cached(
            "select id, version, email, full_name, profile_pic, password_stamp, disabled_at is not null as is_disabled,
                    password_hash
             from users
             where id = $1",
        )
        .await?;
    Ok(client.query_opt(&statement, &[&id]).await?.as_ref().map(credentials))
}

fn credentials(row: &Row) -> Credentials {
    Credentials { user: user(row), password_hash: row.get("password_hash") }
}

/// Whether another account than `except` has this address, so that it can be told together with what else is wrong.
/// The constraint decides.
pub async fn is_email_taken(
    client: &impl GenericClient,
    email: &Email,
    except: Option<Uuid>,
) -> Result<bool, StoreError> {
    let statement = client
        .prepare_cached("select exists (select from users where email_canonical = $1 and id is distinct from $2)")
        .await?;
    Ok(client.query_one(&statement, &[&email.canonical(), &except]).await?.get(0))
}

/// Deletes an account. False if it is gone.
pub async fn delete(client: &impl GenericClient, id: Uuid) -> Result<bool, StoreError> {
    let statement = client.prepare_cached("delete from users where id = $1").await?;
    Ok(client.execute(&statement, &[&id]).await? > 0)
}

/// Puts a hash of newer parameters in the place of the one that was just checked, unless that has changed since.
pub async fn rehash(client: &impl GenericClient, id: Uuid, old_hash: &str, new_hash: &str) -> Result<(), StoreError> {
    let statement =
        client.prepare_cached("update users set password_hash = $3 where id = $1 and password_hash = $2").await?;
    client.execute(&statement, &[&id, &old_hash, &new_hash]).await?;
    Ok(())
}
