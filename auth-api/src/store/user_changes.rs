//! What Postgres tells of changes of accounts, by whomever they are made (`migrations/V3__users_version.sql`): so that what
//! an operator changes by hand holds at once, too.
//!
//! Twice a second the connection is told something by itself, and what comes back renews the [`Lease`] under which accounts
//! are remembered: Postgres tells in the order of commits. While nothing comes back, because Postgres is away or a proxy
//! between swallows what it tells (a pooler of transactions does), each account is read from Postgres itself.

use std::time::Duration;

use futures_util::StreamExt as _;
use shared::random::Random;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, NoTls};
use uuid::Uuid;

use super::lease::{Lease, Moment, RENEW_EVERY};
use super::reads::Reads;
use super::{PostgresConfig, StoreError};

/// How long to wait before connecting anew.
const PAUSE: Duration = Duration::from_millis(500);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Changes that are passed on at once.
const AT_ONCE: usize = 64;

/// A change that could not be passed on is tried again after this time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Listens, again and again, until the process ends.
pub async fn listen_for_ever(config: PostgresConfig, reads: Reads, random: Random) {
    loop {
        let lease = Lease::new();
        let result = listen(&config, &reads, &random, &lease).await;
        lease.end();
        if let Err(error) = result {
            tracing::debug!(%error, "not told of changes of accounts");
        }
        sleep(PAUSE).await;
    }
}

async fn listen(config: &PostgresConfig, reads: &Reads, random: &Random, lease: &Lease) -> Result<(), StoreError> {
    let (client, mut connection) = config.server().connect(NoTls).await?;
    // A channel of our own: what we tell ourselves is nobody else's.
    let own_channel = format!("users_listener_{}", hex::encode(random.bytes::<16>()));
    let messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    let passed_on = messages.for_each_concurrent(AT_ONCE, async |message| {
        let Ok(AsyncMessage::Notification(notification)) = message else { return };
        if notification.channel() == own_channel {
            // What was committed before has been taken up: the first thing that `pass_on` does is to forget.
            Moment::parse(notification.payload()).inspect(|asked| lease.renew(*asked));
        } else if let Some((id, version)) = parse(notification.payload()) {
            pass_on(reads, id, version).await;
        }
    });
    let listening = async {
        client.batch_execute(&format!("listen users_changed; listen {own_channel}")).await?;
        reads.set_told(lease.clone());
        let tell = client.prepare("select pg_notify($1, $2)").await?;
        loop {
            let now = Moment::now().to_text();
            let told = timeout(PATIENCE, client.execute(&tell, &[&own_channel, &now])).await;
            told.map_err(|_| StoreError::Timeout("Postgres"))??;
            sleep(RENEW_EVERY).await;
        }
    };
    tokio::select! {
        () = passed_on => Err(StoreError::NoConnection("it was closed".to_owned())),
        failed = listening => failed,
    }
}

/// Tells Redis of a change, until it has heard it or every copy of before is over: other replicas believe it.
async fn pass_on(reads: &Reads, id: Uuid, version: i64) {
    let trying = async {
        while let Err(error) = reads.changed_to(id, version).await {
            tracing::debug!(%error, "the change of an account is not passed on yet");
            sleep(RETRY_PAUSE).await;
        }
    };
    if timeout(reads.copy_lifetime(), trying).await.is_err() {
        tracing::warn!("the change of an account was not passed on: its copies are over");
    }
}

fn parse(payload: &str) -> Option<(Uuid, i64)> {
    let (id, version) = payload.split_once(' ')?;
    Some((Uuid::try_parse(id).ok()?, version.parse().ok()?))
}
