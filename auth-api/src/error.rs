//! Errors, and the only place where they become responses.

use std::time::Duration;

use serde_json::{Map, Value};
use shared::http::Problem;
use shared::worker_pool::Overload;
use warp::reply::{Reply, Response};

use crate::domain::ValidationErrors;
use crate::store::StoreError;
use crate::tokens::{KeyError, TokenError};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("validation failed")]
    Fields(FieldErrors),
    /// An error of the HTTP layer, such as a body that is too large or malformed.
    #[error("the request was rejected")]
    Request(Problem),
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// An unknown or disabled account, or a wrong password: indistinguishable for the client.
    #[error("wrong credentials")]
    WrongCredentials,
    /// A signed-in user confirmed a change with a wrong password.
    #[error("wrong password")]
    WrongPassword,
    /// A page of another origin sent a request with the cookie of the refresh token.
    #[error("cross-origin request")]
    CrossOrigin,
    #[error("no such session")]
    NoSuchSession,
    #[error("too many requests")]
    Throttled { retry_after: Duration },
    #[error("no access token")]
    NoAccessToken,
    #[error("access token: {0}")]
    AccessToken(TokenError),
    #[error("refresh token: {0}")]
    RefreshToken(TokenError),
    /// media-server rejected the image.
    #[error("invalid image: {0}")]
    InvalidImage(String),
    #[error("the picture is larger than {limit_bytes} bytes")]
    PictureTooLarge { limit_bytes: usize },
    #[error(transparent)]
    Store(StoreError),
    /// media-server is unavailable, busy or full.
    #[error("media-server: {0}")]
    MediaServer(String),
    #[error("media-server rejects the secret: both services need the same MEDIA_SECRET_FILE")]
    MediaSecret,
    /// The queue of a worker pool is full or too slow.
    #[error("overloaded: {0}")]
    Busy(Overload),
    /// A bug or a misconfiguration.
    #[error("{0}")]
    Internal(String),
}

/// Messages by field.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(Map<String, Value>);

impl FieldErrors {
    /// Adds the messages of a field.
    pub fn add(&mut self, field: &str, errors: ValidationErrors) {
        self.0.insert(field.to_owned(), errors.into());
    }

    /// Returns the value, or adds the messages.
    pub fn take<T>(&mut self, field: &str, parsed: Result<T, ValidationErrors>) -> Option<T> {
        parsed.map_err(|errors| self.add(field, errors)).ok()
    }

    /// Whether no field has messages.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns one message for one field.
    pub fn one(field: &str, message: &str) -> Self {
        let mut errors = Self::default();
        errors.add(field, vec![message.to_owned()]);
        errors
    }
}

/// Message for an address of another account.
pub const EMAIL_TAKEN: &str = "user with this email already exists.";

/// Message for an image that media-server rejected.
pub const INVALID_IMAGE: &str =
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
            Error::EmailTaken => Problem::fields(FieldErrors::one("email", EMAIL_TAKEN).0),
            Error::WrongCredentials => {
                let mut errors = FieldErrors::one("email", WRONG_CREDENTIALS);
                errors.add("password", vec![WRONG_CREDENTIALS.to_owned()]);
                Problem::fields(errors.0)
            }
            Error::WrongPassword => Problem::fields(FieldErrors::one("password", "Invalid password.").0),
            Error::NoSuchSession => Problem::not_found(),
            Error::CrossOrigin => Problem::forbidden("CSRF Failed: Origin checking failed."),
            // Rounded up: the next request must be allowed then.
            Error::Throttled { retry_after: wait } => {
                Problem::throttled(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).with_cause(error)
            }
            Error::NoAccessToken => Problem::access_token("Authentication credentials were not provided.", None),
            Error::AccessToken(reason) => {
                Problem::access_token("Given token not valid for any token type", Some(&reason.to_string()))
            }
            Error::RefreshToken(reason) => Problem::refresh_token(&reason.to_string()),
            Error::InvalidImage(reason) => {
                Problem::fields(FieldErrors::one("profile_pic", INVALID_IMAGE).0).with_cause(reason)
            }
            Error::PictureTooLarge { limit_bytes } => Problem::too_large(limit_bytes),
            Error::Store(error) if error.is_bug() => Problem::internal().with_cause(error),
            Error::Internal(_) => Problem::internal().with_cause(error),
            Error::Store(_) | Error::MediaServer(_) | Error::MediaSecret | Error::Busy(_) => {
                Problem::unavailable().with_cause(error)
            }
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

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Reply for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
