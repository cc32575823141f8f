//! The writing side, for auth-api (see [`shared::media_api`]).

use std::sync::Arc;

use http::StatusCode;
use shared::http::body::{BodyReader, BufferedBody};
use shared::media_api::{ImageId, ImageName, Stored};
use warp::reply::{Reply, Response};

use crate::error::Error;
use crate::renditions::Source;
use crate::storage::Put;
use crate::{App, renditions};

/// `PUT /images/<id>`: cleans and decodes the picture, then stores what is clean. 201, or 200 if it was there already.
pub async fn create(id: ImageId, app: Arc<App>, body: BodyReader) -> Result<Response, Error> {
    let received = receive(&app, body).await?;
    let ahead = renditions::ahead(&app);
    let (picture, middle) = app.decoding.accept(received, ahead.as_ref().map(|ahead| ahead.size)).await?;
    let kind = picture.kind;
    let status = match app.storage.put(id, picture.bytes.clone()).await? {
        Put::Created => {
            if let Some(ahead) = ahead {
                let source = middle.map_or(Source::Picture(picture.bytes), Source::Middle);
                renditions::make_ahead(&app, id, source, ahead);
            }
            StatusCode::CREATED
        }
        Put::AlreadyThere => StatusCode::OK,
        Put::Taken => return Err(Error::Taken),
    };
    let stored = Stored { name: ImageName::new(id, kind) };
    Ok(warp::reply::with_status(warp::reply::json(&stored), status).into_response())
}

/// `POST /images/check`: does the same and stores nothing. 204.
pub async fn check(app: Arc<App>, body: BodyReader) -> Result<Response, Error> {
    let received = receive(&app, body).await?;
    app.decoding.accept(received, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /images/<id>`: 204, whether it was there or not.
pub async fn delete(id: ImageId, app: Arc<App>) -> Result<Response, Error> {
    app.storage.delete(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn receive(app: &App, body: BodyReader) -> Result<BufferedBody, Error> {
    Ok(body.read(app.picture_bytes_max, &app.bodies).await?)
}
