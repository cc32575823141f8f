//! Who lives in a stack: everything follows from a number, so that nothing has to be read back.

use auth_api::config::Config;
use auth_api::hashing::Hashing;
use auth_api::store::sessions::SessionId;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt as _;
use sha2::{Digest as _, Sha256};
use shared::random::Random;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::error::Error;

/// How much there is in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Accounts.
    pub users: u32,
    /// Sessions that are alive, of as many users.
    pub sessions: u32,
    /// Sessions whose tokens are shown.
    pub in_play: u32,
}

impl Size {
    /// What a large customer has.
    pub const LARGE: Self = Self { users: 1_000_000, sessions: 100_000, in_play: 10_000 };
    /// What growth is held against.
    pub const SMALL: Self = Self { users: 1_000, sessions: 1_000, in_play: 1_000 };

    /// `count` users, evenly spread over all of them.
    pub fn spread(self, count: u32) -> impl Iterator<Item = u32> {
        let step = (self.users / count).max(1);
        (0..count).map(move |n| n * step % self.users)
    }

    /// The users that have a session.
    pub fn signed_in(self) -> impl Iterator<Item = u32> {
        self.spread(self.sessions)
    }

    /// The users whose session is in play; each of them is signed in.
    pub fn playing(self) -> impl Iterator<Item = u32> {
        self.spread(self.in_play)
    }
}

/// Everybody's password.
pub const PASSWORD: &str = "a passphrase of the bench";

/// A session's number among those of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Which {
    /// Of the sessions that [`Size`] counts.
    Counted = 0,
    /// Refreshed through auth-api.
    Refreshed = 1,
    /// Rotated by the bare script.
    Rotated = 2,
}

/// Looks like a random id, and is spread over an index like one.
fn id(what: &str, number: u32) -> Uuid {
    let digest: [u8; 32] = Sha256::digest(format!("{what} {number}")).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.split_at(16).0);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// The id of a user.
#[must_use]
pub fn user_id(user: u32) -> Uuid {
    id("user", user)
}

/// Their password stamp.
#[must_use]
pub fn stamp(user: u32) -> Uuid {
    id("stamp", user)
}

/// Their e-mail address, in its one form.
#[must_use]
pub fn email(user: u32) -> String {
    format!("bench-{user}@example.com")
}

/// A session of theirs.
#[must_use]
pub fn session(user: u32, which: Which) -> SessionId {
    SessionId { user_id: user_id(user), sid: id(&format!("session {}", which as u8), user) }
}

/// The `jti` of that session's first refresh token.
#[must_use]
pub fn first_jti(user: u32, which: Which) -> Uuid {
    id(&format!("jti {}", which as u8), user)
}

/// What a login sends.
#[must_use]
pub fn credentials(user: u32) -> String {
    format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(user))
}

/// Makes sure that these users and no others are in Postgres, with a hash of today's parameters.
pub async fn keep_users(config: &Config, size: Size) -> Result<(), Error> {
    // The salt is always the same, and so is the hash.
    let salt = Random::from_fn(|bytes| bytes.fill(7));
    let hash = Hashing::start(&config.hashing, salt)?.hash(auth_api::domain::Password::to_compare(PASSWORD)).await?;
    let (client, connection) = connect(config).await?;
    if !are_there(&client, size, &hash).await? {
        eprintln!("loading {} users …", size.users);
        load(&client, size, &hash).await?;
    }
    drop(client);
    // It says nothing that the client has not said.
    let _ = connection.await;
    Ok(())
}

/// Disables a user's account, for this run and those to come.
pub async fn disable(config: &Config, user: u32) -> Result<(), Error> {
    let (client, connection) = connect(config).await?;
    let statement = "update users set disabled_at = now() where id = $1 and disabled_at is null";
    client.execute(statement, &[&user_id(user)]).await?;
    drop(client);
    // It says nothing that the client has not said.
    let _ = connection.await;
    Ok(())
}

type Connection = JoinHandle<Result<(), tokio_postgres::Error>>;

async fn connect(config: &Config) -> Result<(Client, Connection), Error> {
    let (client, connection) = config.postgres.server.connect(NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

async fn are_there(client: &Client, size: Size, hash: &str) -> Result<bool, Error> {
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

/// Rows sent to Postgres in one piece.
const COPIED_AT_ONCE: u32 = 4096;

async fn load(client: &Client, size: Size, hash: &str) -> Result<(), Error> {
    client.batch_execute("truncate users cascade").await?;
    let statement = "copy users (id, email, email_canonical, full_name, password_hash, password_stamp) from stdin with (format text)";
    let mut rows = Box::pin(client.copy_in::<_, Bytes>(statement).await?);
    let mut user = 0;
    while user < size.users {
        let end = size.users.min(user + COPIED_AT_ONCE);
        let mut piece = BytesMut::new();
        for user in user..end {
            let (id, email, stamp) = (user_id(user), email(user), stamp(user));
            // Nothing in it has a meaning in COPY's text.
            let row = format!("{id}\t{email}\t{email}\tBench Person {user}\t{hash}\t{stamp}\n");
            piece.extend_from_slice(row.as_bytes());
        }
        rows.send(piece.freeze()).await?;
        user = end;
    }
    rows.as_mut().finish().await?;
    // Now, and not by itself in the middle of a measurement.
    client.batch_execute("vacuum (freeze, analyze) users").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_plays_is_signed_in() {
        let signed_in: Vec<u32> = Size::LARGE.signed_in().collect();
        assert!(Size::LARGE.playing().all(|user| signed_in.binary_search(&user).is_ok()));
        assert_eq!(Size::SMALL.signed_in().last(), Some(999));
    }

    #[test]
    fn an_address_is_in_its_one_form() {
        let shown = email(12);
        assert_eq!(auth_api::domain::Email::parse(&shown).unwrap().canonical(), shown);
    }
}
