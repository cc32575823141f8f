//! Readiness: the storage works.

use std::sync::Arc;

use shared::http::Problem;

use crate::app::App;
use crate::error::Error;

/// `GET /readyz`: probes the storage.
pub async fn check(app: Arc<App>) -> Result<(), Problem> {
    app.storage.probe().await.map_err(|error| Error::from(error).into())
}
