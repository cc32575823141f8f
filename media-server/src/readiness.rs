//! Whether media-server can do its work: its storage takes what is written.

use std::sync::Arc;

use shared::http::Problem;

use crate::App;
use crate::error::Error;

/// Writes to the storage and deletes what it wrote.
pub async fn check(app: Arc<App>) -> Result<(), Problem> {
    app.storage.probe().await.map_err(|error| Error::from(error).into())
}
