//! What can go wrong, and the one place where it becomes an answer.

use shared::http::Problem;
use shared::media_api::Refused;
use shared::workers::Overload;
use warp::reply::{Reply, Response};

use crate::images::Refusal;
use crate::renditions::RenderError;
use crate::storage::StorageError;

/// A refused or failed request. Turned into a [`Problem`] once, at the end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Answered by the HTTP layer: a body that is too large, too slow, compressed, cut short.
    #[error("the request is refused")]
    Request(Problem),
    /// There is no such picture.
    #[error("no such picture")]
    NotFound,
    /// The bytes are no picture that we take.
    #[error("not a picture: {0}")]
    Refused(Refusal),
    /// The id holds another picture.
    #[error("the id is taken by another picture")]
    Taken,
    /// A listing is asked for with a query that is none.
    #[error("the query is not understood")]
    Query,
    /// The picture is one of the few that no rendition is made of.
    #[error("no rendition: {0}")]
    NoRendition(Refusal),
    /// The range that is asked for is not part of the picture.
    #[error("the range is not part of the picture")]
    Range {
        /// The picture's size.
        size_bytes: u64,
    },
    /// More pictures wait to be decoded than can be in time.
    #[error("decoding: {0}")]
    Busy(Overload),
    /// The storage is away, slow or full.
    #[error("storage: {0}")]
    Storage(StorageError),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Request(problem)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stopped => Self::Busy(Overload::TookTooLong),
            refusal => Self::Refused(refusal),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<RenderError> for Error {
    /// The decoders that make pixels take less than those that accept an upload: what they refuse is no fault of ours.
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Decode(Refusal::Stopped) => Self::Busy(Overload::TookTooLong),
            RenderError::Decode(refusal) => Self::NoRendition(refusal),
            RenderError::Encode(_) => Self::Internal(error.to_string()),
        }
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
                Problem::bad_request("This picture is to be had as it is only, without size.").with_cause(error)
            }
            Error::Taken => Problem::conflict("The id holds another picture."),
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
