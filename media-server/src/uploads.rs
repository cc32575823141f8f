//! The writing side, for auth-api (see [`shared::media_api`]).

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use shared::http::body::{Received, Unread};
use shared::media_api::{ImageId, ImageName, Stored};
use warp::reply::{Reply, Response};

use crate::App;
use crate::error::Error;
use crate::storage::Put;

/// `PUT /images/<id>`: decodes the picture, then stores it. 201, or 200 if it was there already.
pub async fn create(id: ImageId, app: Arc<App>, body: Unread) -> Result<Response, Error> {
    let picture = receive(&app, body).await?;
    let kind = app.decoding.check(picture.clone()).await?;
    let status = match app.storage.put(id, picture).await? {
        Put::Created => StatusCode::CREATED,
        Put::AlreadyThere => StatusCode::OK,
        Put::Taken => return Err(Error::Taken),
    };
    let stored = Stored { name: ImageName::new(id, kind) };
    Ok(warp::reply::with_status(warp::reply::json(&stored), status).into_response())
}

/// `POST /images/check`: decodes the picture and stores nothing. 204.
pub async fn check(app: Arc<App>, body: Unread) -> Result<Response, Error> {
    let picture = receive(&app, body).await?;
    app.decoding.check(picture).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /images/<id>`: 204, whether it was there or not.
pub async fn delete(id: ImageId, app: Arc<App>) -> Result<Response, Error> {
    app.storage.delete(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn receive(app: &App, body: Unread) -> Result<Bytes, Error> {
    let received = body.read(app.picture_bytes_max, &app.bodies).await?;
    Ok(Bytes::from_owner(Held(received)))
}

/// A body that keeps its share of the memory budget until the last of its bytes is let go, even where a decoder or the
/// disk still has it after the client has hung up.
struct Held(Received);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
