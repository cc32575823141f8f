//! A Redis Cluster: a connection to each master, MOVED and ASK redirects, and a background refresh of the slot map.
//!
//! Each master's connection reconnects by itself: while one master is unavailable, the slots of the others are served at
//! full speed. (The client of the `redis` crate connects under a lock that every command waits for.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_ok, try_join_all};
use redis::{Cmd, Pipeline, RedisResult, ServerError, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::Master;
use super::address::ServerAddress;
use super::connection::{Dialer, failed};
use super::reconnecting::{CONNECT_WAIT, ReconnectingConnection, Target, TrackedConnection, unavailable};
use super::route::{Route, SLOTS, slot_of};
use super::slot_map::SlotMap;
use super::tracking::{Invalidation, OnInvalidate};
use crate::lease::Lease;

/// Pause between refreshes of the slot map: a master that dies sends no redirect to its successor.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest pause between refreshes, however many commands are redirected.
const REFRESH_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Maximum nodes queried in a refresh; the slot map of the highest epoch is used.
const QUERIED_NODES_MAX: usize = 5;

/// A Cluster.
pub(super) struct Cluster {
    nodes: watch::Receiver<Nodes>,
    refresh_requested: Arc<Notify>,
}

/// The slot map, and a connection to each master.
#[derive(Clone, Default)]
struct Nodes {
    slot_map: SlotMap,
    masters: BTreeMap<ServerAddress, ReconnectingConnection>,
}

impl Cluster {
    /// Starts to connect by way of the nodes at `seeds`.
    pub(super) fn start(seeds: Vec<ServerAddress>, dialer: Dialer, on_invalidate: OnInvalidate) -> Self {
        let (sender, nodes) = watch::channel(Nodes::default());
        let refresh_requested = Arc::new(Notify::new());
        let refresher = TopologyRefresher {
            seeds,
            dialer,
            on_invalidate,
            nodes: sender,
            refresh_requested: Arc::clone(&refresh_requested),
        };
        tokio::spawn(refresher.run());
        Self { nodes, refresh_requested }
    }

    /// Runs a command on the master of its key's slot.
    pub(super) async fn run(&self, cmd: &Cmd) -> RedisResult<Value> {
        let route = Route::of(cmd);
        if route == Route::EveryNode {
            return self.run_on_every_node(cmd).await;
        }
        let reply = self.get(route).await?.send(cmd).await?;
        self.follow_redirect(reply, cmd).await
    }

    /// Runs `reads`, whose keys are all in `slot`. The lease is of the node that has replied; there is none after a
    /// redirect.
    pub(super) async fn read(&self, slot: u16, reads: &Pipeline) -> RedisResult<(Vec<Value>, Option<Lease>)> {
        let TrackedConnection { mut commands, lease, .. } = self.get(Route::Slot(slot)).await?;
        let count = reads.cmd_iter().count();
        match commands.send_packed_commands(reads, 0, count).await {
            Ok(replies) if !replies.iter().any(is_redirect) => Ok((replies, Some(lease))),
            _ => Ok((self.run_all(reads, 0, count).await?, None)),
        }
    }

    /// Runs a pipeline, or a transaction, whose keys are all in one slot.
    pub(super) async fn run_all(&self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let mut commands = self.get(Route::of_first(pipeline)).await?.commands;
        match commands.send_packed_commands(pipeline, offset, count).await {
            Ok(replies) if pipeline.is_transaction() => Ok(replies),
            // Each by itself: while a slot is migrating, its keys are on both nodes.
            Ok(replies) => {
                let replies = replies.into_iter().zip(pipeline.cmd_iter());
                try_join_all(replies.map(async |(reply, cmd)| self.follow_redirect(reply, cmd).await)).await
            }
            Err(error) => {
                let errors = error.clone().into_server_errors().unwrap_or_default();
                match errors.iter().find_map(|(_, error)| Redirect::parse(error)) {
                    Some(Redirect::Moved(to)) => {
                        self.redirected(&to).await?.commands.send_packed_commands(pipeline, offset, count).await
                    }
                    // The keys of a transaction may be on both nodes of a migrating slot.
                    Some(Redirect::Ask(_)) | None => Err(error),
                }
            }
        }
    }

    /// Returns the reply, or that of the node it redirects to.
    async fn follow_redirect(&self, reply: Value, cmd: &Cmd) -> RedisResult<Value> {
        let Value::ServerError(error) = &reply else { return Ok(reply) };
        match Redirect::parse(error) {
            None => Ok(reply),
            Some(Redirect::Moved(to)) => self.redirected(&to).await?.send(cmd).await,
            Some(Redirect::Ask(to)) => {
                let mut node = self.redirected(&to).await?;
                let cmd = node.with_deadline(cmd).into_owned();
                let asking = redis::pipe().cmd("ASKING").add_command(cmd).to_owned();
                node.commands.send_packed_commands(&asking, 1, 1).await?.pop().ok_or_else(unavailable)
            }
        }
    }

    /// Returns the masters of the slot map, and a hash tag of each.
    pub(super) async fn masters(&self) -> Vec<Master> {
        let mut nodes = self.nodes.clone();
        let _ = timeout(CONNECT_WAIT, nodes.wait_for(|nodes| !nodes.masters.is_empty())).await;
        let Nodes { slot_map, masters } = self.nodes.borrow().clone();
        let master = |(server, connection): (ServerAddress, ReconnectingConnection)| {
            let mut tags = (0..u32::from(SLOTS) * 8).map(|number| number.to_string());
            let hash_tag = tags.find(|tag| slot_map.master(slot_of(tag.as_bytes())) == Some(&server))?;
            Some(Master { name: server.to_string(), hash_tag, connection })
        };
        masters.into_iter().filter_map(master).collect()
    }

    async fn get(&self, route: Route) -> RedisResult<TrackedConnection> {
        // The path of all commands but the first.
        if let Some(Some(known)) = self.with_master(route, ReconnectingConnection::get_now) {
            return known;
        }
        let mut nodes = self.nodes.clone();
        let _ = timeout(CONNECT_WAIT, nodes.wait_for(|nodes| !nodes.masters.is_empty())).await;
        let master = self.with_master(route, ReconnectingConnection::clone);
        master.ok_or_else(|| failed("no node serves the slot"))?.get().await
    }

    fn with_master<T>(&self, route: Route, call: impl FnOnce(&ReconnectingConnection) -> T) -> Option<T> {
        let nodes = self.nodes.borrow();
        match route {
            Route::Slot(slot) => nodes.masters.get(nodes.slot_map.master(slot)?).map(call),
            Route::AnyNode | Route::EveryNode => {
                let mut masters = nodes.masters.values();
                masters.clone().find(|master| master.is_up()).or_else(|| masters.next()).map(call)
            }
        }
    }

    /// Returns the connection to the target of a redirect, and requests a refresh of the slot map.
    async fn redirected(&self, to: &ServerAddress) -> RedisResult<TrackedConnection> {
        self.refresh_requested.notify_one();
        let mut nodes = self.nodes.clone();
        let _ = timeout(CONNECT_WAIT, nodes.wait_for(|nodes| nodes.masters.contains_key(to))).await;
        let master = self.nodes.borrow().masters.get(to).cloned();
        master.ok_or_else(|| failed("redirected to an unknown node"))?.get().await
    }

    /// Succeeds if any node does: on a node that is unavailable the next command that needs it loads the script.
    async fn run_on_every_node(&self, cmd: &Cmd) -> RedisResult<Value> {
        self.get(Route::AnyNode).await?;
        let masters: Vec<ReconnectingConnection> = self.nodes.borrow().masters.values().cloned().collect();
        let replies = masters.into_iter().map(async |master| master.get().await?.send(cmd).await);
        let mut replies = join_all(replies).await;
        let succeeded = replies.iter().position(Result::is_ok).unwrap_or_default();
        if replies.is_empty() { Err(unavailable()) } else { replies.swap_remove(succeeded) }
    }
}

fn is_redirect(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if Redirect::parse(error).is_some())
}

/// A redirect to the node of a slot.
enum Redirect {
    Moved(ServerAddress),
    /// For this command only: the slot is migrating, and its other keys may still be here.
    Ask(ServerAddress),
}

impl Redirect {
    fn parse(error: &ServerError) -> Option<Self> {
        let redirect = match error.kind()? {
            ServerErrorKind::Moved => Self::Moved,
            ServerErrorKind::Ask => Self::Ask,
            _ => return None,
        };
        let (_slot, address) = error.details()?.split_once(' ')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(redirect(ServerAddress { host: host.to_owned(), port: port.parse().ok()? }))
    }
}

/// The task that refreshes [`Nodes`].
struct TopologyRefresher {
    seeds: Vec<ServerAddress>,
    dialer: Dialer,
    on_invalidate: OnInvalidate,
    nodes: watch::Sender<Nodes>,
    refresh_requested: Arc<Notify>,
}

impl TopologyRefresher {
    async fn run(self) {
        let nodes = self.nodes.clone();
        tokio::select! {
            () = nodes.closed() => (),
            () = self.refresh_loop() => (),
        }
    }

    async fn refresh_loop(&self) {
        loop {
            match self.query().await {
                Ok(slot_map) => self.apply(slot_map),
                Err(error) => tracing::warn!(%error, "refreshing the slot map of the Redis Cluster failed; retrying"),
            }
            sleep(REFRESH_PAUSE_MIN).await;
            let _ = timeout(REFRESH_INTERVAL, self.refresh_requested.notified()).await;
        }
    }

    /// Returns the newest slot map of the connected masters, or else that of the first seed to reply.
    async fn query(&self) -> RedisResult<SlotMap> {
        let nodes = self.nodes.borrow().clone();
        let up = nodes.masters.iter().filter_map(|(server, master)| Some((server, master.get_now()?.ok()?)));
        let up = up.take(QUERIED_NODES_MAX);
        let slot_maps = up.map(|(server, node)| timeout(CONNECT_WAIT, SlotMap::read(server, node.commands)));
        if let Some(newest) = join_all(slot_maps).await.into_iter().flatten().flatten().max_by_key(|map| map.epoch) {
            return Ok(newest);
        }
        let seeds = self.seeds.iter().map(|seed| {
            async move {
                let connection = self.dialer.dial(seed, |_| ()).await?;
                SlotMap::read(seed, connection.commands()).await
            }
            .boxed()
        });
        Ok(select_ok(seeds).await?.0)
    }

    fn apply(&self, slot_map: SlotMap) {
        let current = self.nodes.borrow().clone();
        if current.slot_map.ranges == slot_map.ranges {
            return;
        }
        let connection = |server: &ServerAddress| {
            current.masters.get(server).cloned().unwrap_or_else(|| {
                let target = Target::Server(server.clone());
                ReconnectingConnection::start(target, self.dialer.clone(), Arc::clone(&self.on_invalidate))
            })
        };
        let masters: BTreeMap<_, _> = slot_map.masters().map(|server| (server.clone(), connection(server))).collect();
        tracing::info!(
            masters = masters.len(),
            epoch = slot_map.epoch,
            "the slot map of the Redis Cluster has changed"
        );
        self.nodes.send_replace(Nodes { slot_map, masters });
        // Reads of a slot that has moved subscribed to invalidations of its former node.
        (self.on_invalidate)(Invalidation::All);
    }
}
