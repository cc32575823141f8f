//! The client of media-server's writing side (see [`shared::media_api`]).

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use shared::media_api::{self, CHECK_PATH, ImageId, ImageName, LIST_PATH, Refused, Stored, StoredPage};
use shared::secret::Secret;

use crate::error::Error;

/// Where media-server's writing side is, and how long we wait for it.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Its origin.
    pub url: Url,
    /// How long an upload may take, decoding included.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

/// A client of media-server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MediaServer {
    client: Client,
    url: Url,
    authorization: String,
}

/// Idle connections are given up soon, so that uploads spread over replicas that come, and leave those that go.
const IDLE: Duration = Duration::from_secs(5);

impl MediaServer {
    /// A client; nothing is connected yet.
    pub fn new(config: &MediaConfig, secret: &Secret) -> Result<Self, Error> {
        let client = Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(IDLE)
            .no_proxy()
            // No authority is needed, nor need the system have any.
            .tls_certs_only([])
            .build()
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self { client, url: config.url.clone(), authorization: media_api::authorization(secret) })
    }

    /// Stores a picture under an id that nobody else has.
    pub async fn store(&self, id: ImageId, picture: Bytes) -> Result<ImageName, Error> {
        let response = self.send(Method::PUT, &id.path(), Some(picture)).await?;
        let stored: Stored = accepted(response).await?.json().await.map_err(|error| away(&error))?;
        Ok(stored.name)
    }

    /// Checks a picture without storing it.
    pub async fn check(&self, picture: Bytes) -> Result<(), Error> {
        accepted(self.send(Method::POST, CHECK_PATH, Some(picture)).await?).await.map(drop)
    }

    /// Deletes the picture of this id, whether it is there or not.
    pub async fn delete(&self, id: ImageId) -> Result<(), Error> {
        accepted(self.send(Method::DELETE, &id.path(), None).await?).await.map(drop)
    }

    /// What is stored, after an id or from the first one on.
    pub async fn list(&self, after: Option<ImageId>) -> Result<StoredPage, Error> {
        let path = match after {
            Some(id) => format!("{LIST_PATH}?after={}", id.hex()),
            None => LIST_PATH.to_owned(),
        };
        accepted(self.send(Method::GET, &path, None).await?).await?.json().await.map_err(|error| away(&error))
    }

    /// Sends a request, and once more over another connection where the first one failed: all of them are idempotent.
    async fn send(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Response, Error> {
        let url = self.url.join(path).map_err(|error| Error::Internal(error.to_string()))?;
        let request = || self.request(method.clone(), url.clone(), body.clone());
        match request().send().await {
            Err(error) if !error.is_timeout() && (error.is_connect() || error.is_request()) => {
                request().send().await.map_err(|error| away(&error))
            }
            answered => answered.map_err(|error| away(&error)),
        }
    }

    fn request(&self, method: Method, url: Url, body: Option<Bytes>) -> RequestBuilder {
        let request = self.client.request(method, url).header(http::header::AUTHORIZATION, &self.authorization);
        match body {
            Some(body) => request.body(body),
            None => request,
        }
    }
}

/// The path holds a picture's id: it is left out of what is logged.
fn away(error: &reqwest::Error) -> Error {
    let kind = match error {
        _ if error.is_timeout() => "no answer in time",
        _ if error.is_connect() => "no connection",
        _ if error.is_decode() => "an answer that is not understood",
        _ => "the connection broke",
    };
    Error::MediaServer(kind.to_owned())
}

async fn accepted(response: Response) -> Result<Response, Error> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let refused: Refused = response.json().await.map_err(|error| away(&error))?;
            Err(Error::NotAPicture(refused.reason))
        }
        StatusCode::UNAUTHORIZED => {
            Err(Error::MediaServer("it refuses our secret: both services need the same MEDIA_SECRET_FILE".to_owned()))
        }
        status => Err(Error::MediaServer(format!("it answered {status}"))),
    }
}
