//! What Postgres tells of changes of accounts, by whomever they are made (`migrations/V3__users_version.sql`): so that what
//! an operator changes by hand holds at once, too.
//!
//! The connection is asked every second whether it is there: while it is not, accounts are read from Postgres itself, or
//! not at all. Where a proxy between swallows what Postgres tells (a pooler of transactions does), a change by hand holds
//! when the copy in Redis is over ([`super::user_copies`]).

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, NoTls};
use uuid::Uuid;

use super::reads::Reads;
use super::{PostgresConfig, StoreError};

/// How long to wait before connecting anew.
const PAUSE: Duration = Duration::from_millis(500);

/// How often it is asked whether Postgres is there, and how long it may take to answer.
const BEAT: Duration = Duration::from_secs(1);

/// Changes that are passed on at once.
const AT_ONCE: usize = 64;

/// Listens, again and again, until the process ends.
pub async fn listen_for_ever(config: PostgresConfig, reads: Reads) {
    loop {
        let result = listen(&config, &reads).await;
        reads.set_told(false);
        if let Err(error) = result {
            tracing::debug!(%error, "not told of changes of accounts");
        }
        sleep(PAUSE).await;
    }
}

async fn listen(config: &PostgresConfig, reads: &Reads) -> Result<(), StoreError> {
    let (client, mut connection) = config.server().connect(NoTls).await?;
    let messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    let passed_on = messages.for_each_concurrent(AT_ONCE, async |message| {
        if let Ok(AsyncMessage::Notification(notification)) = message
            && let Some((id, version)) = parse(notification.payload())
        {
            reads.changed_to(id, version).await;
        }
    });
    let listening = async {
        client.batch_execute("listen users_changed").await?;
        reads.set_told(true);
        loop {
            sleep(BEAT).await;
            timeout(BEAT, client.simple_query("select")).await.map_err(|_| StoreError::Timeout("Postgres"))??;
        }
    };
    tokio::select! {
        () = passed_on => Err(StoreError::NoConnection("it was closed".to_owned())),
        failed = listening => failed,
    }
}

fn parse(payload: &str) -> Option<(Uuid, i64)> {
    let (id, version) = payload.split_once(' ')?;
    Some((Uuid::try_parse(id).ok()?, version.parse().ok()?))
}
