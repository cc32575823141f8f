//! Errors of handlers, and their responses.

use shared::http::Problem;
use shared::media_api::Refused;
use shared::worker_pool::Overload;
use warp::reply::{Reply, Response};

use crate::decode_pool::DecodeError;
use crate::formats::ImageError;
use crate::storage::StorageError;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// From the HTTP layer, such as a body that is too large.
    #[error("invalid request")]
    Request(Problem),
    #[error("picture not found")]
    NotFound,
    #[error("invalid image: {0}")]
    Refused(ImageError),
    #[error("another picture is stored under the id")]
    Conflict,
    #[error("invalid query of a listing")]
    Query,
    /// A picture that can be stored but not rendered.
    #[error("can't make a rendition: {0}")]
    NoRendition(ImageError),
    #[error("unsatisfiable range")]
    Range { size_bytes: u64 },
    #[error("decode pool: {0}")]
    Busy(Overload),
    #[error("storage: {0}")]
    Storage(StorageError),
    /// A bug.
    #[error("{0}")]
    Internal(String),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Request(problem)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Image(error) => Self::Refused(error),
            DecodeError::Overload(overload) => Self::Busy(overload),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Request(problem) => problem,
            Error::NotFound => Problem::not_found(),
            Error::Refused(ref refusal) => {
                let body = serde_json::to_value(Refused { reason: refusal.to_string() }).unwrap_or_default();
                Problem::refused(body).with_cause(error)
            }
            Error::Query => Problem::bad_request("after is the id of a picture, limit a number from 1 to 1000."),
            Error::NoRendition(_) => {
                Problem::bad_request("This picture has no renditions: leave size out.").with_cause(error)
            }
            Error::Conflict => Problem::conflict("The id holds another picture."),
            Error::Range { size_bytes } => Problem::range_not_satisfiable(size_bytes),
            Error::Busy(_) | Error::Storage(_) => Problem::unavailable().with_cause(error),
            Error::Internal(_) => Problem::internal().with_cause(error),
        }
    }
}

impl Reply for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
