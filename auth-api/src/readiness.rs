//! Whether auth-api can do its work: Postgres with the schema of this build, and Redis.

use std::sync::Arc;

use shared::http::Problem;

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
    redis.map_err(|error: StoreError| Problem::unavailable().because(error))?;
    match postgres {
        Ok(true) => Ok(()),
        Ok(false) => Err(Problem::unavailable().because("the schema is not up to date: run `auth-api migrate`")),
        Err(error) => Err(Problem::unavailable().because(error)),
    }
}
