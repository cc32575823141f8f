//! Who the master is, by the Sentinels.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use redis::{RedisError, RedisResult};

use tokio::time::sleep;

use super::address::Server;
use super::connection::{Connection, Dialer, failed};

/// How often they are asked whether the master is still the one: that is how long two masters, on the two sides of a
/// partition, go unnoticed.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The Sentinels of one master.
pub(super) struct Sentinels {
    addresses: Vec<Server>,
    master: String,
    dialer: Dialer,
    /// The one that answered last: to ask one as long as it answers is to hear each change once.
    answering: Option<Connection>,
}

impl Sentinels {
    /// Those at `addresses`, of which there is one at least.
    pub(super) fn new(addresses: Vec<Server>, master: String, dialer: Dialer) -> Self {
        Self { addresses, master, dialer, answering: None }
    }

    /// Where the master is now. All are asked at once, and the first that knows it is believed; whoever is there is asked
    /// for its role before it is used.
    pub(super) async fn master(&mut self) -> RedisResult<Server> {
        if let Some(connection) = &self.answering
            && let Ok(server) = ask(connection, &self.master).await
        {
            return Ok(server);
        }
        self.answering = None;
        let (dialer, master) = (&self.dialer, self.master.as_str());
        let all = self.addresses.iter().map(|sentinel| {
            async move {
                let connection = dialer.dial(sentinel, |_| ()).await?;
                let server = ask(&connection, master).await?;
                Ok::<_, RedisError>((connection, server))
            }
            .boxed()
        });
        let ((connection, server), _) = select_ok(all).await?;
        self.answering = Some(connection);
        Ok(server)
    }

    /// Asks on and on. Sentinels that do not answer are no reason to leave a master that does.
    pub(super) async fn until_they_name_another_than(&mut self, server: &Server) {
        loop {
            sleep(ASK_EVERY).await;
            if self.master().await.is_ok_and(|master| master != *server) {
                return;
            }
        }
    }
}

async fn ask(sentinel: &Connection, master: &str) -> RedisResult<Server> {
    let answer: Option<(String, u16)> =
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut sentinel.requests()).await?;
    let (host, port) = answer.ok_or_else(|| failed("the Sentinels know no master of that name"))?;
    Ok(Server { host, port })
}
