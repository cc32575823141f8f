//! The client of media-server's internal API (see [`shared::media_api`]).

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use shared::http::access::{REQUEST_ID, request_id};
use shared::media_api::{self, CHECK_PATH, ImageId, ImageName, LIST_PATH, Refused, Stored, StoredPage};
use shared::secret::Secret;

use crate::error::Error;

/// Settings of the client.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    pub url: Url,
    /// Timeout of a request, decoding of the upload included.
    pub timeout: Duration,
    pub connect_timeout: Duration,
}

/// A client of media-server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MediaClient {
    client: Client,
    url: Url,
    authorization: String,
}

/// Timeout of idle connections: short, so that uploads spread to new replicas and leave stopped ones.
const IDLE: Duration = Duration::from_secs(5);

impl MediaClient {
    /// Creates a client; connects on first use.
    pub fn new(config: &MediaConfig, secret: &Secret) -> Result<Self, Error> {
        let client = Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(IDLE)
            .no_proxy()
            // Plain HTTP: skips loading the system's CA certificates.
            .tls_certs_only([])
            .build()
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self { client, url: config.url.clone(), authorization: media_api::authorization(secret) })
    }

    /// Stores a picture under a new id.
    pub async fn store(&self, id: ImageId, picture: Bytes) -> Result<ImageName, Error> {
        let response = self.send(Method::PUT, &id.path(), Some(picture)).await?;
        let stored: Stored = successful(response).await?.json().await.map_err(|error| unavailable(&error))?;
        Ok(stored.name)
    }

    /// Verifies a picture without storing it.
    pub async fn check(&self, picture: Bytes) -> Result<(), Error> {
        successful(self.send(Method::POST, CHECK_PATH, Some(picture)).await?).await.map(drop)
    }

    /// Deletes the picture of this id, if there is one.
    pub async fn delete(&self, id: ImageId) -> Result<(), Error> {
        successful(self.send(Method::DELETE, &id.path(), None).await?).await.map(drop)
    }

    /// Returns a page of the stored pictures, after an id or from the start.
    pub async fn list(&self, after: Option<ImageId>) -> Result<StoredPage, Error> {
        let path = match after {
            Some(id) => format!("{LIST_PATH}?after={}", id.hex()),
            None => LIST_PATH.to_owned(),
        };
        successful(self.send(Method::GET, &path, None).await?).await?.json().await.map_err(|error| unavailable(&error))
    }

    /// Sends a request, and retries once on another connection if the first one failed: all requests are idempotent.
    async fn send(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Response, Error> {
        let url = self.url.join(path).map_err(|error| Error::Internal(error.to_string()))?;
        let request = || self.request(method.clone(), url.clone(), body.clone());
        match request().send().await {
            Err(error) if !error.is_timeout() && (error.is_connect() || error.is_request()) => {
                request().send().await.map_err(|error| unavailable(&error))
            }
            response => response.map_err(|error| unavailable(&error)),
        }
    }

    fn request(&self, method: Method, url: Url, body: Option<Bytes>) -> RequestBuilder {
        let request = self
            .client
            .request(method, url)
            .header(http::header::AUTHORIZATION, &self.authorization)
            .header(REQUEST_ID, request_id());
        match body {
            Some(body) => request.body(body),
            None => request,
        }
    }
}

/// Describes a transport error without the URL, which has the picture's id.
fn unavailable(error: &reqwest::Error) -> Error {
    let kind = match error {
        _ if error.is_timeout() => "timeout",
        _ if error.is_connect() => "no connection",
        _ if error.is_decode() => "malformed response",
        _ => "connection lost",
    };
    Error::MediaServer(kind.to_owned())
}

async fn successful(response: Response) -> Result<Response, Error> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let refused: Refused = response.json().await.map_err(|error| unavailable(&error))?;
            Err(Error::InvalidImage(refused.reason))
        }
        StatusCode::UNAUTHORIZED => Err(Error::MediaSecret),
        status => Err(Error::MediaServer(format!("status {status}"))),
    }
}
