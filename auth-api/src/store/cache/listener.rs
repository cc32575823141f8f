//! Postgres LISTEN/NOTIFY listener: invalidates the users that change (`migrations/V3__users_version.sql`).
//!
//! A heartbeat, a `NOTIFY` to a channel of this replica, renews the lease of the subscription: Postgres delivers
//! notifications in the order of commits. Where none arrive (Postgres is unavailable, or there is only a pooler, which loses
//! some), the cache serves an entry for [`LEASE_TTL`](crate::lease::LEASE_TTL) at most.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use shared::random::Random;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Notification};
use uuid::Uuid;

use super::UserCache;
use crate::lease::HEARTBEAT_INTERVAL;
use crate::store::postgres::PostgresConfig;
use crate::store::{StoreError, within};

/// Pause before a reconnect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Timeout of a heartbeat's statement.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens until the process ends; reconnects when the connection is lost.
pub async fn run(config: PostgresConfig, users: UserCache, random: Random) {
    let heartbeat_channel = format!("users_listener_{}", hex::encode(random.bytes::<16>()));
    let listener = Listener { config, users, heartbeat_channel, created: Instant::now() };
    let mut is_outage_logged = false;
    loop {
        let Err(error) = listener.connect_and_listen(&mut is_outage_logged).await;
        listener.users.unsubscribed();
        if is_outage_logged {
            tracing::debug!(%error, "still no notifications of user changes from Postgres");
        } else {
            tracing::warn!(%error, "no notifications of user changes from Postgres; caching users for 1.5 s until reconnected");
        }
        is_outage_logged = true;
        sleep(RECONNECT_PAUSE).await;
    }
}

struct Listener {
    config: PostgresConfig,
    users: UserCache,
    /// Has a random name, since another replica's heartbeats prove nothing about this connection.
    heartbeat_channel: String,
    /// Heartbeats carry the time they were sent, in microseconds since this instant.
    created: Instant,
}

impl Listener {
    async fn connect_and_listen(&self, is_outage_logged: &mut bool) -> Result<Infallible, StoreError> {
        let (client, mut connection) = self.config.connect_session(&self.heartbeat_channel).await?;
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        let receive = async {
            while let Some(message) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message? {
                    self.receive(&notification);
                }
            }
            Err(StoreError::NoConnection("Postgres closed it".to_owned()))
        };
        let listen = async {
            let subscribe = format!("listen users_changed; listen {}", self.heartbeat_channel);
            within::<_, StoreError>(self.config.timeout, async { Ok(client.batch_execute(&subscribe).await?) }).await?;
            self.users.subscribed();
            *is_outage_logged = false;
            self.send_heartbeats(&client).await
        };
        tokio::select! {
            lost = receive => lost,
            failed = listen => failed,
        }
    }

    async fn send_heartbeats(&self, client: &Client) -> Result<Infallible, StoreError> {
        loop {
            let sent = self.created.elapsed().as_micros().to_string();
            let parameters = [(&self.heartbeat_channel as _, Type::TEXT), (&sent as _, Type::TEXT)];
            let heartbeat = async { Ok(client.execute_typed("select pg_notify($1, $2)", &parameters).await?) };
            within::<_, StoreError>(HEARTBEAT_TIMEOUT, heartbeat).await?;
            sleep(HEARTBEAT_INTERVAL).await;
        }
    }

    fn receive(&self, notification: &Notification) {
        if notification.channel() == self.heartbeat_channel {
            if let Ok(sent) = notification.payload().parse() {
                self.users.heartbeat_received(self.created + Duration::from_micros(sent));
            }
        } else if let Some((id, version)) = parse(notification.payload()) {
            self.users.notified(id, version);
        }
    }
}

/// The payload of `users_changed`: `<id> <version>`.
fn parse(payload: &str) -> Option<(Uuid, i64)> {
    let (id, version) = payload.split_once(' ')?;
    Some((Uuid::try_parse(id).ok()?, version.parse().ok()?))
}
