//! Request bodies: JSON, URL-encoded or multipart; every endpoint with a body accepts all three.
//!
//! Only the fields that an endpoint names are kept; unknown ones are ignored. An ambiguous body (a duplicate key, invalid
//! UTF-8) is rejected. Parsing takes time linear in the size of the body; a body above [`INLINE_BYTES_MAX`] is parsed on
//! worker threads, not on those of the runtime.

mod fields;
mod json;
mod multipart;
mod urlencoded;

pub use fields::{FieldNames, Fields, PICTURE};

use bytes::Bytes;
use mime::Mime;
use shared::http::Problem;
use shared::http::body::{BodyLimits, BodyReader, BufferedBody};
use shared::worker_pool::{Overload, Priority, Workers, WorkersConfig};
use tokio::runtime::Handle;

use crate::error::{Error, FieldErrors};
use fields::FormError;

/// Largest body that is parsed on a runtime thread, in bytes: less than 1 ms of work.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Limit of bodies in the queue of the workers; above it the response is 503 at once.
const QUEUE_MAX: usize = 256;

/// Receives and parses bodies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FormParser {
    limits: BodyLimits,
    workers: Workers<()>,
}

impl FormParser {
    /// Starts a worker thread per core. A body waits for one as long as it may take to arrive.
    pub fn start(limits: BodyLimits) -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let config = WorkersConfig { threads, queue_max: QUEUE_MAX, queue_timeout: limits.timeout };
        Ok(Self { limits, workers: Workers::start("parsing", Priority::Low, &config, || ())? })
    }

    /// Receives a body of at most `limit_bytes` and parses the fields of `names`.
    pub async fn read(&self, body: BodyReader, limit_bytes: usize, names: FieldNames) -> Result<Fields, Error> {
        let body = body.read(limit_bytes, &self.limits).await?;
        self.parse(body, names).await
    }

    async fn parse(&self, body: BufferedBody, names: FieldNames) -> Result<Fields, Error> {
        if body.bytes.len() <= INLINE_BYTES_MAX {
            return parse(body, names).await;
        }
        let runtime = Handle::current();
        // Only `multer` is asynchronous, and the body is buffered: this never waits.
        match self.workers.run(move |()| runtime.block_on(parse(body, names))).await {
            Ok(fields) => fields,
            Err(Overload::Panicked) => Err(Error::Internal("parsing a body panicked".to_owned())),
            Err(overload) => Err(Error::Busy(overload)),
        }
    }
}

async fn parse(mut body: BufferedBody, names: FieldNames) -> Result<Fields, Error> {
    if body.bytes.is_empty() {
        return Ok(Fields::default());
    }
    let unsupported = || Problem::unsupported_media_type(&body.content_type);
    let media_type: Mime = body.content_type.parse().map_err(|_| unsupported())?;
    let is_utf8 = media_type.get_param(mime::CHARSET).is_none_or(|charset| {
        // US-ASCII is a part of UTF-8.
        ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.as_str().eq_ignore_ascii_case(name))
    });
    let (kind, fields) = match (media_type.type_().as_str(), media_type.subtype().as_str()) {
        ("application", "json") if is_utf8 => ("JSON", json::read(&body.bytes, names)),
        ("application", "x-www-form-urlencoded") if is_utf8 => ("Form", urlencoded::read(&body.bytes, names)),
        ("multipart", "form-data") => {
            let boundary = media_type.get_param(mime::BOUNDARY).map(|boundary| boundary.as_str().to_owned());
            ("Multipart form", multipart::read(std::mem::take(&mut body.bytes), boundary, names).await)
        }
        _ => return Err(unsupported().into()),
    };
    // The fields are copies; the permit covers them.
    body.bytes = Bytes::new();
    match fields {
        Ok(fields) => Ok(fields.with_permit_of(body)),
        Err(FormError::Syntax(reason)) => Err(Problem::bad_request(format!("{kind} parse error - {reason}")).into()),
        Err(FormError::NotAnObject(python_type)) => Err(not_an_object(python_type)),
    }
}

fn not_an_object(python_type: &str) -> Error {
    let message = match python_type {
        "NoneType" => "No data provided".to_owned(),
        _ => format!("Invalid data. Expected a dictionary, but got {python_type}."),
    };
    Error::Fields(FieldErrors::one("non_field_errors", &message))
}

#[cfg(test)]
mod tests;
