//! Schema migrations: forward only, each run once however many replicas start. A release accepts later migrations that it
//! does not know: it may be rolled back.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::StoreError;
use super::postgres::Executor;
use super::postgres::server::PostgresServer;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Key of the advisory lock that serializes migrations.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"auth-api");

/// Begins a transaction without limits: it waits for other migrations, and lasts as long as they do.
const BEGIN: &str = "begin; set local statement_timeout = 0; set local lock_timeout = 0; \
     set local idle_in_transaction_session_timeout = 0";

/// A migration that failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a migration failed; those before it are applied: {0}")]
    Failed(#[from] refinery::Error),
    #[error("migrations {0:?} are not applied though later ones are: the schema is of another line of releases")]
    Skipped(Vec<i32>),
}

/// Result of a run.
#[derive(Clone, Copy, Debug)]
pub struct Migrated {
    /// Migrations that were applied.
    pub applied: usize,
    /// Migrations of a later release, which were there before.
    pub unknown: usize,
}

/// Applies the migrations. Concurrent calls wait for each other.
pub async fn run(server: &PostgresServer) -> Result<Migrated, MigrationError> {
    // Through a pooler only a transaction holds a lock, and refinery commits each migration: hence two connections.
    let lock = connect(server).await?;
    lock.batch_execute(BEGIN).await.map_err(StoreError::from)?;
    lock.query_typed("select pg_advisory_xact_lock($1)", &[(&LOCK_KEY, Type::INT8)]).await.map_err(StoreError::from)?;
    let mut client = connect(server).await?;
    let runner = embedded::migrations::runner().set_abort_divergent(true).set_abort_missing(false);
    let known = versions();
    let report = runner.run_async(&mut client).await?;
    let applied = runner.get_applied_migrations_async(&mut client).await?;
    let applied: BTreeSet<i32> = applied.iter().map(refinery::Migration::version).collect();
    let skipped: Vec<i32> = known.difference(&applied).copied().collect();
    if !skipped.is_empty() {
        return Err(MigrationError::Skipped(skipped));
    }
    Ok(Migrated { applied: report.applied_migrations().len(), unknown: applied.difference(&known).count() })
}

/// Opens a connection, which is closed when the client is dropped.
async fn connect(server: &PostgresServer) -> Result<Client, StoreError> {
    let opened = server.connect("").await?;
    tokio::spawn(opened.connection);
    Ok(opened.client)
}

/// The migrations of this build.
fn versions() -> BTreeSet<i32> {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).collect()
}

/// Whether all migrations of this build have been applied. Fails if Postgres is read-only, or `users` can't be read: the
/// table is missing, as during a restore, or the role lacks the right.
pub async fn is_current(client: &impl Executor) -> Result<bool, StoreError> {
    let versions: Vec<i32> = versions().into_iter().collect();
    let sql = "select count(*) filter (where version = any($1)),
                      current_setting('transaction_read_only')::boolean,
                      exists (select from users)
               from refinery_schema_history";
    let row = client.query_one(sql, &[(&versions, Type::INT4_ARRAY)]).await?;
    if row.get(1) {
        client.report_read_only();
        return Err(StoreError::ReadOnly);
    }
    Ok(usize::try_from(row.get::<_, i64>(0)) == Ok(versions.len()))
}
