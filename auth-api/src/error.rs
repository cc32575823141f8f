//! What can go wrong, and the one place where it becomes an answer.

use std::time::Duration;

use serde_json::{Map, Value};
use shared::http::Problem;
use shared::worker_pool::Overload;
use warp::reply::{Reply, Response};

use crate::domain::Refusal;
use crate::store::StoreError;
use crate::tokens::TokenFault;

/// A refused or failed request. Turned into a [`Problem`] once, at the end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields that failed, each with its sentences.
    #[error("fields are refused")]
    Fields(FieldErrors),
    /// Answered by the HTTP layer: a body that is too large, not understood, of another type.
    #[error("the request is refused")]
    Request(Problem),
    /// The e-mail address belongs to another account.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The account is unknown or disabled, or the password is wrong: nobody is told which.
    #[error("wrong credentials")]
    WrongCredentials,
    /// Somebody who is signed in shows a password that is not theirs.
    #[error("wrong password")]
    WrongPassword,
    /// There is no such session.
    #[error("no such session")]
    NoSuchSession,
    /// Too many passwords were wrong.
    #[error("too many failed logins")]
    Throttled {
        /// Until the next may be tried.
        wait: Duration,
    },
    /// No access token was shown.
    #[error("no access token")]
    NoAccessToken,
    /// An access token that is not good.
    #[error("access token: {0}")]
    AccessToken(TokenFault),
    /// A refresh token that is not good.
    #[error("refresh token: {0}")]
    RefreshToken(TokenFault),
    /// media-server found the bytes to be no picture that we take.
    #[error("not a picture: {0}")]
    NotAPicture(String),
    /// The picture has more bytes than are taken.
    #[error("the picture is larger than {limit_bytes} bytes")]
    PictureTooLarge {
        /// The most that is taken.
        limit_bytes: usize,
    },
    /// Postgres or Redis.
    #[error(transparent)]
    Store(StoreError),
    /// media-server is away, busy or full.
    #[error("media-server: {0}")]
    MediaServer(String),
    /// More passwords wait to be hashed than can be in time.
    #[error("hashing: {0}")]
    Busy(Overload),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// Sentences by field.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(Map<String, Value>);

impl FieldErrors {
    /// Adds what is wrong with `field`.
    pub fn add(&mut self, field: &str, refusal: Refusal) {
        self.0.insert(field.to_owned(), refusal.into());
    }

    /// Takes the value, or notes what is wrong with `field`.
    pub fn take<T>(&mut self, field: &str, parsed: Result<T, Refusal>) -> Option<T> {
        parsed.map_err(|refusal| self.add(field, refusal)).ok()
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One sentence for one field.
    pub fn of(field: &str, sentence: &str) -> Self {
        let mut errors = Self::default();
        errors.add(field, vec![sentence.to_owned()]);
        errors
    }
}

/// The sentence for an address that another account has.
pub const EMAIL_TAKEN: &str = "user with this email already exists.";

/// The sentence for bytes that are no picture.
pub const NOT_A_PICTURE: &str =
    "Upload a valid image. The file you uploaded was either not an image or a corrupted image.";

const WRONG_CREDENTIALS: &str = "No active account found with the given credentials.";

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Request(problem)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Fields(errors) => Problem::fields(errors.0),
            Error::Request(problem) => problem,
            Error::EmailTaken => Problem::fields(FieldErrors::of("email", EMAIL_TAKEN).0),
            Error::WrongCredentials => {
                let mut errors = FieldErrors::of("email", WRONG_CREDENTIALS);
                errors.add("password", vec![WRONG_CREDENTIALS.to_owned()]);
                Problem::fields(errors.0)
            }
            Error::WrongPassword => Problem::fields(FieldErrors::of("password", "Invalid password.").0),
            Error::NoSuchSession => Problem::not_found(),
            // Rounded up: a try must be possible then.
            Error::Throttled { wait } => {
                Problem::throttled(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).with_cause(error)
            }
            Error::NoAccessToken => Problem::access_token("Authentication credentials were not provided.", None),
            Error::AccessToken(fault) => {
                Problem::access_token("Given token not valid for any token type", Some(&fault.to_string()))
            }
            Error::RefreshToken(fault) => Problem::refresh_token(&fault.to_string()),
            Error::NotAPicture(reason) => {
                Problem::fields(FieldErrors::of("profile_pic", NOT_A_PICTURE).0).with_cause(reason)
            }
            Error::PictureTooLarge { limit_bytes } => Problem::too_large(limit_bytes),
            Error::Store(error) if error.is_bug() => Problem::internal().with_cause(error),
            Error::Internal(_) => Problem::internal().with_cause(error),
            Error::Store(_) | Error::MediaServer(_) | Error::Busy(_) => Problem::unavailable().with_cause(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::EmailTaken => Self::EmailTaken,
            other => Self::Store(other),
        }
    }
}

impl From<crate::tokens::KeyError> for Error {
    fn from(error: crate::tokens::KeyError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Store(error.into())
    }
}

impl Reply for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
