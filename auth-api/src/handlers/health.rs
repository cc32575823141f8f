//! Readiness: Postgres with the schema of this build, and Redis.

use std::sync::Arc;

use shared::http::Problem;
use shared::media_api::ImageId;

use crate::app::{App, StartError};
use crate::error::Error;
use crate::store::{self, StoreError, within};

/// Checks both; the cause of the problem names the one that failed.
pub async fn check(app: Arc<App>) -> Result<(), Problem> {
    let postgres = within(app.config.store_timeout, async {
        let client = app.postgres.get().await?;
        Ok::<_, Error>(store::migrations::is_current(&client).await?)
    });
    let (postgres, redis) = tokio::join!(postgres, store::sessions::ping(&app.redis));
    redis.map_err(|error: StoreError| Problem::unavailable().with_cause(error))?;
    match postgres {
        Ok(true) => Ok(()),
        Ok(false) => Err(Problem::unavailable().with_cause("the schema is not up to date: run `auth-api migrate`")),
        Err(error) => Err(Problem::unavailable().with_cause(error)),
    }
}

/// Checks the credentials for Postgres, Redis and media-server. The schema need not exist yet.
pub async fn check_dependencies(app: &App) -> Result<(), StartError> {
    let connected = within(app.config.store_timeout, async { Ok(app.postgres.get().await?) }).await;
    drop(connected.map_err(StartError::Postgres)?);
    store::sessions::ping(&app.redis).await.map_err(StartError::Redis)?;
    // A random id: no user has this picture.
    app.media.delete(ImageId::new(&app.random)).await.map_err(StartError::MediaServer)
}
