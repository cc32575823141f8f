//! Discovery of the master through Sentinel.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use redis::{RedisError, RedisResult};
use tokio::time::sleep;

use super::address::ServerAddress;
use super::connection::{Connection, Dialer, failed};

/// Pause between polls. Two masters, on the two sides of a partition, go unnoticed for so long.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The Sentinels of one master.
pub(super) struct Sentinels {
    addresses: Vec<ServerAddress>,
    master: String,
    dialer: Dialer,
    /// The Sentinel that replied last. Sentinels may disagree for a while: polling one shows each change once.
    current: Option<Connection>,
}

impl Sentinels {
    /// The Sentinels at `addresses`, of which there must be at least one.
    pub(super) fn new(addresses: Vec<ServerAddress>, master: String, dialer: Dialer) -> Self {
        Self { addresses, master, dialer, current: None }
    }

    /// Returns the current master: from the Sentinel that replied last, or from the first of all to reply. Its role is
    /// checked on connecting.
    pub(super) async fn master(&mut self) -> RedisResult<ServerAddress> {
        if let Some(connection) = &self.current
            && let Ok(server) = master_address(connection, &self.master).await
        {
            return Ok(server);
        }
        self.current = None;
        let (dialer, master) = (&self.dialer, self.master.as_str());
        let all = self.addresses.iter().map(|sentinel| {
            async move {
                let connection = dialer.dial(sentinel, |_| ()).await?;
                let server = master_address(&connection, master).await?;
                Ok::<_, RedisError>((connection, server))
            }
            .boxed()
        });
        let ((connection, server), _) = select_ok(all).await?;
        self.current = Some(connection);
        Ok(server)
    }

    /// Returns when the master is another than `server`. Sentinels that do not reply are no reason to leave a master that
    /// does.
    pub(super) async fn until_master_changes(&mut self, server: &ServerAddress) {
        loop {
            sleep(POLL_INTERVAL).await;
            if self.master().await.is_ok_and(|master| master != *server) {
                return;
            }
        }
    }
}

async fn master_address(sentinel: &Connection, master: &str) -> RedisResult<ServerAddress> {
    let address: Option<(String, u16)> =
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut sentinel.commands()).await?;
    let (host, port) = address.ok_or_else(|| failed("the Sentinels know no master of that name"))?;
    Ok(ServerAddress { host, port })
}
