//! Schema migrations: forward only, each run once however many replicas start.

use tokio_postgres::NoTls;

use super::StoreError;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Key of the advisory lock that serializes migrations.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"auth-api");

/// A migration that failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a migration failed; those before it are applied: {0}")]
    Failed(#[from] refinery::Error),
}

/// Applies the migrations and returns how many ran. Concurrent calls wait for each other.
pub async fn run(server: &tokio_postgres::Config) -> Result<usize, MigrationError> {
    let (mut client, connection) = server.connect(NoTls).await.map_err(StoreError::Postgres)?;
    let connection = tokio::spawn(connection);
    // Released with the connection.
    client.execute("select pg_advisory_lock($1)", &[&LOCK_KEY]).await.map_err(StoreError::Postgres)?;
    let report = embedded::migrations::runner().run_async(&mut client).await?;
    drop(client);
    let _ = connection.await;
    Ok(report.applied_migrations().len())
}

/// Whether the newest migration of this build has been applied. Fails if `users` can't be read: the table is missing, as
/// during a restore, or the role lacks the right.
pub async fn is_current(client: &impl deadpool_postgres::GenericClient) -> Result<bool, StoreError> {
    let newest = embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
    let newest_applied = "select max(version), exists (select from users) from refinery_schema_history";
    let applied: Option<i32> = client.query_one(newest_applied, &[]).await?.get(0);
    Ok(applied.map(i64::from) >= newest.map(i64::from))
}
