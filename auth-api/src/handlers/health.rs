//! Readiness: Postgres with the schema of this build, and Redis, which may refuse some writes.

use std::sync::Arc;

use shared::http::Problem;
use shared::media_api::ImageId;

use crate::app::{App, StartError};
use crate::error::Error;
use crate::store::postgres::Executor as _;
use crate::store::{self, StoreError, within};

/// Checks both, and returns why the service is degraded; the cause of the problem names the one that failed.
pub async fn check(app: Arc<App>) -> Result<Vec<&'static str>, Problem> {
    let postgres = within(app.config.store_timeout, async {
        let client = app.postgres.get().await?;
        Ok::<_, Error>(store::migrations::is_current(&client).await?)
    });
    let (postgres, redis) = tokio::join!(postgres, store::redis_health::probe(&app.redis));
    let redis = redis.map_err(|error: StoreError| Problem::unavailable().with_cause(error))?;
    match postgres {
        Ok(true) => Ok(redis.reasons()),
        Ok(false) => Err(Problem::unavailable().with_cause("the schema is not up to date: run `auth-api migrate`")),
        Err(error) => Err(Problem::unavailable().with_cause(error)),
    }
}

/// Checks the credentials for Postgres, Redis and, if it responds, media-server, and warns of the state of Redis. The schema
/// need not exist yet.
pub async fn check_dependencies(app: &App) -> Result<(), StartError> {
    check_postgres(app).await.map_err(StartError::Postgres)?;
    store::redis_health::probe(&app.redis).await.map_err(StartError::Redis)?.warn();
    // A random id: no user has this picture.
    match app.media.delete(ImageId::new(&app.random)).await {
        // Everything but uploads works without it.
        Err(error @ Error::MediaServer(_)) => {
            tracing::warn!(%error, "media-server is unavailable, and so are uploads until it is back; see MEDIA_URL");
            Ok(())
        }
        checked => checked.map_err(StartError::MediaServer),
    }
}

/// Fails if Postgres is unavailable or read-only; warns of what is missing through a pooler.
async fn check_postgres(app: &App) -> Result<(), Error> {
    let config = &app.config.postgres;
    let (is_read_only, statement_millis) = within(config.timeout, postgres_state(app)).await?;
    if is_read_only {
        return Err(StoreError::ReadOnly.into());
    }
    if u128::try_from(statement_millis) != Ok(config.timeout.as_millis()) {
        tracing::warn!(
            statement_millis,
            "statement_timeout is not set in Postgres: a pooler ignores the start-up parameter `options`; PgBouncer's \
             ignore_startup_parameters should not name it"
        );
    }
    match config.connect_session("check").await {
        Ok(_) => {}
        Err(error @ StoreError::NoSession(_)) => {
            tracing::warn!(%error, "each replica caches users for 1.5 s at most, and reads them more often");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Returns whether Postgres is read-only, and the time limit of a statement in milliseconds.
async fn postgres_state(app: &App) -> Result<(bool, i64), StoreError> {
    let sql = "select current_setting('transaction_read_only')::boolean, setting::bigint
               from pg_settings
               where name = 'statement_timeout'";
    let row = app.postgres.get().await?.query_one(sql, &[]).await?;
    Ok((row.get(0), row.get(1)))
}
