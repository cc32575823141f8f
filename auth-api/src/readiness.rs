//! Whether auth-api can do its work: Postgres with the schema of this build, and Redis.

use std::sync::Arc;

use shared::http::Problem;
use shared::media_api::ImageId;

use crate::App;
use crate::error::Error;
use crate::store::{self, StoreError, within};

/// Asks both; a problem names the one that is away.
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

/// Who does not let auth-api in, and which settings say how it asks.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Postgres.
    #[error("{0}: see DATABASE_URL and DATABASE_PASSWORD_FILE")]
    Postgres(Error),
    /// Redis.
    #[error("{0}: see REDIS_URL and REDIS_PASSWORD_FILE")]
    Redis(StoreError),
    /// media-server.
    #[error("{0}: see MEDIA_URL and MEDIA_SECRET_FILE")]
    MediaServer(Error),
}

/// Asks everybody once, media-server included, before anything serves. The schema need not be there yet.
pub async fn check_all(app: &App) -> Result<(), Refused> {
    let connected = within(app.config.store_timeout, async { Ok(app.postgres.get().await?) }).await;
    drop(connected.map_err(Refused::Postgres)?);
    store::sessions::ping(&app.redis).await.map_err(Refused::Redis)?;
    // Nobody has a picture of this id.
    app.media.delete(ImageId::new(&app.random)).await.map_err(Refused::MediaServer)
}
