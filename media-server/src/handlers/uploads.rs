//! Uploads and deletions, for auth-api (see [`shared::media_api`]).

use std::sync::Arc;

use http::StatusCode;
use shared::http::body::{BodyReader, BufferedBody};
use shared::http::router::Request;
use shared::media_api::{ImageId, ImageName, Stored};
use warp::reply::{Reply, Response};

use crate::app::App;
use crate::error::Error;
use crate::renditions::RenderInput;
use crate::storage::PutOutcome;

/// `PUT /images/<id>`: verifies the picture and stores it without metadata. 201, or 200 if the same was stored before.
pub async fn create(app: Arc<App>, request: Request) -> Result<Response, Error> {
    let id = image_id(&request)?;
    let received = receive(&app, request.body).await?;
    let permit = app.renditions.pregenerate_permit();
    let (picture, crop) = app.verifier.verify(received, permit.as_ref().map(|permit| permit.size)).await?;
    let kind = picture.kind;
    let status = match app.storage.put(id, picture.bytes.clone()).await? {
        PutOutcome::Created => {
            if let Some(permit) = permit {
                let input = crop.map_or(RenderInput::Original(picture.bytes), RenderInput::ScaledCrop);
                app.renditions.pregenerate(id, input, permit);
            }
            StatusCode::CREATED
        }
        PutOutcome::Identical => StatusCode::OK,
        PutOutcome::Conflict => return Err(Error::Conflict),
    };
    let stored = Stored { name: ImageName::new(id, kind) };
    Ok(warp::reply::with_status(warp::reply::json(&stored), status).into_response())
}

/// `POST /images/check`: verifies a picture without storing it. 204.
pub async fn check(app: Arc<App>, request: Request) -> Result<Response, Error> {
    let received = receive(&app, request.body).await?;
    app.verifier.verify(received, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /images/<id>`: 204, also if it was not stored.
pub async fn delete(app: Arc<App>, request: Request) -> Result<Response, Error> {
    app.storage.delete(image_id(&request)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn image_id(request: &Request) -> Result<ImageId, Error> {
    ImageId::parse(request.head.param()).map_err(|_| Error::NotFound)
}

async fn receive(app: &App, body: BodyReader) -> Result<BufferedBody, Error> {
    Ok(body.read(app.picture_bytes_max, &app.body_limits).await?)
}
