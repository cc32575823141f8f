//! Postgres: the pool of connections, and statements on them.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`server`] | `DATABASE_URL`: hosts, TLS, password; opens connections |
//! | [`tls`] | `sslmode`, `sslrootcert`, `sslcert`, `sslkey` |
//! | [`health`] | whether a connection may be used again |
//!
//! Statements are unnamed (parsed at each execution), so that they work through a pooler in transaction mode, where the next
//! transaction may run on another server connection, and while a migration changes a result type.

pub mod health;
pub mod server;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::{StoreError, within};
use health::{Health, UsableFrom};
use server::{Driver, Opened, PostgresServer, refuses_options};

/// Settings of Postgres.
#[derive(Clone)]
pub struct PostgresConfig {
    pub server: PostgresServer,
    /// The server for LISTEN: the same, or one that is reached without a pooler.
    pub listen_server: PostgresServer,
    pub connections_max: usize,
    /// Timeout of a statement, also set in Postgres.
    pub timeout: Duration,
}

/// The pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: Pool,
    server: PostgresServer,
    limits: Limits,
    usable_from: Arc<UsableFrom>,
}

impl Postgres {
    /// Creates a pool, which connects on first use.
    pub fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let (server, limits, usable_from) =
            (config.server.clone(), Limits(config.timeout), Arc::new(UsableFrom::now()));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connector = Connector { server: server.clone(), limits };
        let manager = Manager::from_connect(tokio_postgres::Config::new(), connector, recycling);
        let opened_from = Arc::clone(&usable_from);
        let pool = Pool::builder(manager)
            .max_size(config.connections_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(config.timeout))
            .create_timeout(Some(config.timeout))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                if opened_from.includes(metrics.created) { Ok(()) } else { Err(HookError::message("read-only")) }
            }))
            .build()
            .map_err(|error| StoreError::NoConnection(error.to_string()))?;
        Ok(Self { pool, server, limits, usable_from })
    }

    /// Returns a connection, waiting for one at most the timeout of a statement.
    pub async fn get(&self) -> Result<Connection, StoreError> {
        let object = self.pool.get().await?;
        let opened = Object::metrics(&object).created;
        let health = Health::new(opened, Arc::clone(&self.usable_from), self.limits.0);
        let limits = self.server.is_pooled().then(|| self.limits.as_sql());
        Ok(Connection { object: Some(object), health, limits })
    }
}

/// Opens the connections of the pool.
struct Connector {
    server: PostgresServer,
    limits: Limits,
}

impl Connect for Connector {
    fn connect(&self, _: &tokio_postgres::Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        async {
            let Opened { client, connection } = self.server.connect_or_pooled(&self.limits.as_options()).await?;
            let driver = tokio::spawn(async {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "lost a connection to Postgres");
                }
            });
            tracing::debug!("connected to Postgres");
            Ok((client, driver))
        }
        .boxed()
    }
}

/// Limits of a statement in Postgres, as SQL and as start-up options.
#[derive(Clone, Copy, Debug)]
struct Limits(Duration);

impl Limits {
    fn all(self) -> [(&'static str, u128); 3] {
        let timeout = self.0.as_millis();
        [
            ("statement_timeout", timeout),
            ("lock_timeout", timeout),
            ("idle_in_transaction_session_timeout", timeout * 4),
        ]
    }

    fn as_options(self) -> String {
        self.all().map(|(name, millis)| format!("-c {name}={millis}")).join(" ")
    }

    fn as_sql(self) -> String {
        self.all().map(|(name, millis)| format!("set local {name} = {millis}")).join("; ")
    }
}

impl PostgresConfig {
    /// Opens a session of this process alone, as LISTEN needs; `marker` is a random word. Fails through a pooler, which
    /// lets several clients share a session.
    pub async fn connect_session(&self, marker: &str) -> Result<(Client, Driver), StoreError> {
        let pooled = || {
            StoreError::NoSession("LISTEN does not work through a pooler; set DATABASE_LISTEN_URL to a URL without it")
        };
        let options = format!("{} -c auth_api.session={marker}", Limits(self.timeout).as_options());
        let connect = async {
            let Opened { client, mut connection } = Box::pin(self.listen_server.connect(&options)).await?;
            let sql = "select current_setting('auth_api.session', true) is not distinct from $1";
            let parameters = [(&marker as _, Type::TEXT)];
            let check = client.query_typed_one(sql, &parameters);
            let is_own: bool = tokio::select! {
                row = check => row?.get(0),
                closed = &mut connection => return closed.map_err(StoreError::from).and(Err(StoreError::NoSession("Postgres closed it"))),
            };
            if is_own { Ok((client, connection)) } else { Err(pooled()) }
        };
        within(self.timeout, connect).await.map_err(|error| match error {
            StoreError::Postgres(error) if refuses_options(&error) => pooled(),
            error => error,
        })
    }
}

/// A connection of the pool. One that must not be used again is closed when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// `None` only while it is dropped.
    object: Option<Object>,
    health: Health,
    /// Through a pooler, which refuses start-up options: the SQL that sets the limits for one transaction.
    limits: Option<String>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.health.is_usable() {
            drop(self.object.take().map(Object::take));
        }
    }
}

impl Connection {
    /// Begins a transaction, which is rolled back unless it is committed.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        let Self { object, health, limits } = self;
        let client = object.as_mut().ok_or_else(|| StoreError::NoConnection("closed".to_owned()))?;
        let transaction = health.observe(client.transaction()).await?;
        if let Some(limits) = limits {
            health.observe(transaction.batch_execute(limits)).await?;
        }
        Ok(Transaction { transaction, health })
    }
}

/// A transaction, which is rolled back unless it is committed.
pub struct Transaction<'a> {
    transaction: deadpool_postgres::Transaction<'a>,
    health: &'a Health,
}

impl Transaction<'_> {
    /// Commits.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.health.observe(self.transaction.commit()).await
    }
}

/// Parameters of a statement, with their types.
pub type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Runs statements: a [`Connection`] or a [`Transaction`].
pub trait Executor: Sync {
    /// What statements run on.
    fn handle(&self) -> Handle<'_>;

    /// Removes this connection and all others that are open now from the pool: they can't write.
    fn report_read_only(&self) {
        self.handle().health.report_read_only();
    }

    /// Returns the rows of a statement.
    fn query(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        let handle = self.handle();
        async move { handle.run(handle.client.query_typed(sql, parameters)).await }
    }

    /// Returns the row of a statement that returns exactly one.
    fn query_one(&self, sql: &str, parameters: Parameters<'_>) -> impl Future<Output = Result<Row, StoreError>> + Send {
        let handle = self.handle();
        async move { handle.run(handle.client.query_typed_one(sql, parameters)).await }
    }

    /// Returns the row of a statement that returns at most one.
    fn query_opt(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        let handle = self.handle();
        async move { handle.run(handle.client.query_typed_opt(sql, parameters)).await }
    }

    /// Returns the number of rows that a statement changed.
    fn execute(&self, sql: &str, parameters: Parameters<'_>) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let handle = self.handle();
        async move { handle.run(handle.client.execute_typed(sql, parameters)).await }
    }
}

/// A connection with what is known about it.
#[derive(Clone, Copy)]
pub struct Handle<'a> {
    client: &'a Client,
    health: &'a Health,
    /// Outside of a transaction, through a pooler: the SQL that sets the limits.
    limits: Option<&'a str>,
}

impl Handle<'_> {
    async fn run<T>(self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let Some(limits) = self.limits else { return self.health.observe(statement).await };
        // A transaction of its own, sent at once: the three are queued in this order when they are first polled.
        let prologue = format!("begin; {limits}");
        let in_transaction = async {
            let (begun, result, ended) = tokio::join!(biased; self.client.batch_execute(&prologue), statement, self.client.batch_execute("commit"));
            begun.and(result).and_then(|value| ended.map(|()| value))
        };
        Box::pin(self.health.observe(in_transaction)).await
    }
}

impl Executor for Connection {
    #[expect(clippy::expect_used, reason = "`None` only while it is dropped")]
    fn handle(&self) -> Handle<'_> {
        let client = self.object.as_ref().expect("not dropped");
        Handle { client, health: &self.health, limits: self.limits.as_deref() }
    }
}

impl Executor for Transaction<'_> {
    fn handle(&self) -> Handle<'_> {
        Handle { client: self.transaction.client(), health: self.health, limits: None }
    }
}
