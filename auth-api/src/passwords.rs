//! The one place that checks a password.
//!
//! An unknown account, a disabled one, a wrong password and a stored hash that can't be used take the same path and the same
//! time, so that a response says nothing about which accounts exist (OWASP Authentication Cheat Sheet).

use std::borrow::Cow;
use std::net::IpAddr;

use shared::http::access::request_id;
use uuid::Uuid;

use crate::app::App;
use crate::domain::{Email, Password};
use crate::error::Error;
use crate::hashing::PasswordCheck;
use crate::store::users::{self, Credentials, User};
use crate::store::{StoreError, within};

/// The account whose password is checked.
#[derive(Clone, Copy, Debug)]
pub enum Account<'a> {
    /// By the text of an address, as sent at sign-in.
    Email(&'a str),
    /// By its id: a signed-in user confirms a change. Failures are counted apart from those of sign-in, and stay counted
    /// when the address changes.
    Id(Uuid),
}

/// Checks a password, throttled before it is hashed by (account, address) and by address.
///
/// Returns the user; [`Error::WrongCredentials`], or [`Error::Throttled`] after too many failures. A hash with outdated
/// parameters is replaced.
pub async fn authenticate(app: &App, account: Account<'_>, password: Password, ip: IpAddr) -> Result<User, Error> {
    let email = match account {
        Account::Email(text) => Email::lookup_form(text),
        Account::Id(_) => None,
    };
    let throttle_key = match account {
        // A text that is no address belongs to no account, and is throttled like any other.
        Account::Email(text) => Cow::Borrowed(email.as_deref().unwrap_or(text)),
        // No address contains NUL.
        Account::Id(id) => Cow::Owned(format!("id\0{id}")),
    };
    let attempt = app.login_throttle.acquire(&throttle_key, ip).await?;
    let found = within(app.config.store_timeout, find(app, account, email.as_deref())).await?;
    let hash = found.as_ref().map(|credentials| credentials.password_hash.as_str());
    let check = verify(app, &password, hash).await?;
    if let (PasswordCheck::UnusableHash, Some(credentials)) = (check, &found) {
        tracing::warn!(request_id = %request_id(), user_id = %credentials.user.id, "stored password hash is unusable; the user can't sign in until it is set");
    }
    let is_valid = matches!(check, PasswordCheck::Valid | PasswordCheck::ValidNeedsRehash);
    let Some(credentials) = found.filter(|credentials| is_valid && !credentials.user.is_disabled) else {
        attempt.failed().await?;
        return Err(Error::WrongCredentials);
    };
    attempt.succeeded().await?;
    if check == PasswordCheck::ValidNeedsRehash {
        let new_hash = app.hashing.hash(password).await?;
        let rehash = async {
            let client = app.postgres.get().await?;
            users::rehash(&client, credentials.user.id, &credentials.password_hash, &new_hash).await
        };
        within(app.config.store_timeout, rehash).await?;
    }
    Ok(credentials.user)
}

/// Checks a password, and then as it was sent if that is not NFC. A match of the latter is rehashed. An unknown account takes
/// the same steps.
async fn verify(app: &App, password: &Password, hash: Option<&str>) -> Result<PasswordCheck, Error> {
    match (app.hashing.verify(password.clone(), hash).await?, password.raw()) {
        (PasswordCheck::Invalid, Some(raw)) => Ok(match app.hashing.verify(raw, hash).await? {
            PasswordCheck::Valid => PasswordCheck::ValidNeedsRehash,
            check => check,
        }),
        (check, _) => Ok(check),
    }
}

async fn find(app: &App, account: Account<'_>, email: Option<&str>) -> Result<Option<Credentials>, StoreError> {
    match (account, email) {
        (Account::Id(id), _) => users::find_credentials_by_id(&app.postgres.get().await?, id).await,
        (Account::Email(_), Some(email)) => users::find_credentials(&app.postgres.get().await?, email).await,
        (Account::Email(_), None) => Ok(None),
    }
}
