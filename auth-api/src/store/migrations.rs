//! The schema: forward only, run once by however many replicas.

use tokio_postgres::NoTls;

use super::StoreError;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The key of the advisory lock under which migrations run: the first eight bytes of "auth-api".
const LOCK_KEY: i64 = i64::from_be_bytes(*b"auth-api");

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// No connection, or the lock could not be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed; those before it stay.
    #[error("a migration failed: {0}")]
    Failed(#[from] refinery::Error),
}

/// Brings the schema up to date and returns how many migrations ran. Others who call it at the same time wait.
pub async fn run(server: &tokio_postgres::Config) -> Result<usize, MigrationError> {
    let (mut client, connection) = server.connect(NoTls).await.map_err(StoreError::Postgres)?;
    let connection = tokio::spawn(connection);
    // The lock belongs to this connection, and goes with it whatever happens.
    client.execute("select pg_advisory_lock($1)", &[&LOCK_KEY]).await.map_err(StoreError::Postgres)?;
    let report = embedded::migrations::runner().run_async(&mut client).await?;
    drop(client);
    let _ = connection.await;
    Ok(report.applied_migrations().len())
}

/// Whether the newest migration of this build has been applied. Fails where accounts can't be read: their table is missing,
/// as while a back-up is restored, or may not be read.
pub async fn is_current(client: &impl deadpool_postgres::GenericClient) -> Result<bool, StoreError> {
    let newest = embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
    let newest_applied = "select max(version), exists (select from users) from refinery_schema_history";
    let applied: Option<i32> = client.query_one(newest_applied, &[]).await?.get(0);
    Ok(applied.map(i64::from) >= newest.map(i64::from))
}
