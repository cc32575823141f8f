//! Users and sessions of a stack. All values derive from a number, so that nothing has to be read back.

use auth_api::config::Config;
use auth_api::hashing::Hashing;
use auth_api::store::sessions::SessionId;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt as _;
use sha2::{Digest as _, Sha256};
use shared::random::Random;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::error::Error;

/// Number of users and sessions in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub users: u32,
    /// Live sessions, one per user.
    pub sessions: u32,
    /// Sessions whose tokens are used.
    pub active: u32,
}

impl Size {
    /// A large installation.
    pub const LARGE: Self = Self { users: 1_000_000, sessions: 100_000, active: 10_000 };
    /// Baseline of growth.
    pub const SMALL: Self = Self { users: 1_000, sessions: 1_000, active: 1_000 };

    /// Returns `count` users, evenly spread.
    pub fn spread(self, count: u32) -> impl Iterator<Item = u32> {
        let step = (self.users / count).max(1);
        (0..count).map(move |n| n * step % self.users)
    }

    /// Returns the users that have a session.
    pub fn signed_in(self) -> impl Iterator<Item = u32> {
        self.spread(self.sessions)
    }

    /// Returns the users with an active session, a subset of [`Size::signed_in`].
    pub fn active_users(self) -> impl Iterator<Item = u32> {
        self.spread(self.active)
    }
}

/// Password of every user.
pub const PASSWORD: &str = "a passphrase of the bench";

/// Purpose of a session; a user may have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SessionKind {
    /// Counted by [`Size`].
    Counted = 0,
    /// Refreshed through auth-api.
    Refreshed = 1,
    /// Rotated by the script, without auth-api.
    Rotated = 2,
}

/// Returns a deterministic id that is distributed like a random one.
fn id(what: &str, number: u32) -> Uuid {
    let digest: [u8; 32] = Sha256::digest(format!("{what} {number}")).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.split_at(16).0);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Returns the id of a user.
#[must_use]
pub fn user_id(user: u32) -> Uuid {
    id("user", user)
}

/// Returns the password stamp of a user.
#[must_use]
pub fn stamp(user: u32) -> Uuid {
    id("stamp", user)
}

/// Returns the canonical e-mail address of a user.
#[must_use]
pub fn email(user: u32) -> String {
    format!("bench-{user}@example.com")
}

/// Returns the id of a user's session.
#[must_use]
pub fn session(user: u32, kind: SessionKind) -> SessionId {
    SessionId { user_id: user_id(user), sid: id(&format!("session {}", kind as u8), user) }
}

/// Returns the `jti` of a session's first refresh token.
#[must_use]
pub fn first_jti(user: u32, kind: SessionKind) -> Uuid {
    id(&format!("jti {}", kind as u8), user)
}

/// Returns the body of a login.
#[must_use]
pub fn credentials(user: u32) -> String {
    format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(user))
}

/// Loads the users into Postgres, unless exactly these are there with the current hash parameters.
pub async fn ensure_users(config: &Config, size: Size) -> Result<(), Error> {
    // A constant salt makes a constant hash.
    let salt = Random::from_fn(|bytes| bytes.fill(7));
    let hash = Hashing::start(&config.hashing, salt)?.hash(auth_api::domain::Password::to_compare(PASSWORD)).await?;
    let (client, connection) = connect(config).await?;
    if !are_loaded(&client, size, &hash).await? {
        eprintln!("loading {} users …", size.users);
        load(&client, size, &hash).await?;
    }
    drop(client);
    // Its errors were returned by the client already.
    let _ = connection.await;
    Ok(())
}

/// Disables a user's account permanently.
pub async fn disable(config: &Config, user: u32) -> Result<(), Error> {
    let (client, connection) = connect(config).await?;
    let statement = "update users set disabled_at = now() where id = $1 and disabled_at is null";
    client.execute(statement, &[&user_id(user)]).await?;
    drop(client);
    // Its errors were returned by the client already.
    let _ = connection.await;
    Ok(())
}

type Connection = JoinHandle<Result<(), tokio_postgres::Error>>;

async fn connect(config: &Config) -> Result<(Client, Connection), Error> {
    let opened = config.postgres.server.connect("").await?;
    Ok((opened.client, tokio::spawn(opened.connection)))
}

async fn are_loaded(client: &Client, size: Size, hash: &str) -> Result<bool, Error> {
    let row = client
        .query_one(
            "select count(*) as users,
                    count(*) filter (where id = $1 and password_stamp = $2 and password_hash = $3) as known
             from users",
            &[&user_id(0), &stamp(0), &hash],
        )
        .await?;
    Ok(row.get::<_, i64>("users") == i64::from(size.users) && row.get::<_, i64>("known") == 1)
}

/// Rows per chunk of COPY.
const COPY_ROWS: u32 = 4096;

async fn load(client: &Client, size: Size, hash: &str) -> Result<(), Error> {
    client.batch_execute("truncate users cascade").await?;
    let statement = "copy users (id, email, email_canonical, full_name, password_hash, password_stamp) from stdin with (format text)";
    let mut rows = Box::pin(client.copy_in::<_, Bytes>(statement).await?);
    let mut user = 0;
    while user < size.users {
        let end = size.users.min(user + COPY_ROWS);
        let mut chunk = BytesMut::new();
        for user in user..end {
            let (id, email, stamp) = (user_id(user), email(user), stamp(user));
            // Needs no escaping in COPY's text format.
            let row = format!("{id}\t{email}\t{email}\tBench Person {user}\t{hash}\t{stamp}\n");
            chunk.extend_from_slice(row.as_bytes());
        }
        rows.send(chunk.freeze()).await?;
        user = end;
    }
    rows.as_mut().finish().await?;
    // Otherwise autovacuum would run during a measurement.
    client.batch_execute("vacuum (freeze, analyze) users").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_users_are_signed_in() {
        let signed_in: Vec<u32> = Size::LARGE.signed_in().collect();
        assert!(Size::LARGE.active_users().all(|user| signed_in.binary_search(&user).is_ok()));
        assert_eq!(Size::SMALL.signed_in().last(), Some(999));
    }

    #[test]
    fn e_mail_addresses_are_canonical() {
        let address = email(12);
        assert_eq!(auth_api::domain::Email::parse(&address).unwrap().as_str(), address);
    }
}
