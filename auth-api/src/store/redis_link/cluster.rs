//! A Redis Cluster: a link to each master, and a task that learns which slots are whose.
//!
//! A link of its own for each master keeps a failure where it is: while one master is away, the slots of the others are
//! served at their speed. (The client of the `redis` crate connects under a lock that every command waits for.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_ok, try_join_all};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, ServerError, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::address::Server;
use super::connection::{Dialer, failed};
use super::link::{Lent, Link, PATIENCE, Target, away};
use super::push::{Change, Changed};
use super::slots::Place;
use super::topology::View;
use crate::store::lease::Lease;

/// How often the nodes are asked which slots are whose. A master that is gone tells nobody of its successor.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The shortest time between two such questions, however many requests find a slot elsewhere.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// How many nodes are asked at once; the newest view counts.
const ASKED_MAX: usize = 5;

/// A Cluster.
pub(super) struct Cluster {
    nodes: watch::Receiver<Nodes>,
    doubt: Arc<Notify>,
}

/// The masters, and which slots they have.
#[derive(Clone, Default)]
struct Nodes {
    view: View,
    links: BTreeMap<Server, Link>,
}

impl Cluster {
    /// Starts to connect by way of the nodes at `seeds`.
    pub(super) fn start(seeds: Vec<Server>, dialer: Dialer, changed: Changed) -> Self {
        let (sender, nodes) = watch::channel(Nodes::default());
        let doubt = Arc::new(Notify::new());
        tokio::spawn(Learner { seeds, dialer, changed, nodes: sender, doubt: Arc::clone(&doubt) }.learn());
        Self { nodes, doubt }
    }

    /// Runs a command where its key is.
    pub(super) async fn run(&self, cmd: &Cmd) -> RedisResult<Value> {
        let place = Place::of(cmd);
        if place == Place::EveryNode {
            return self.run_everywhere(cmd).await;
        }
        let answer = self.lent(place).await?.send(cmd).await?;
        self.settle(answer, cmd).await
    }

    /// Runs `reads`, whose keys are all in `slot`. The lease is of the node that has answered; there is none where another
    /// than the one that was asked has the slot.
    pub(super) async fn read(&self, slot: u16, reads: &Pipeline) -> RedisResult<(Vec<Value>, Option<Lease>)> {
        let Lent { mut requests, lease, .. } = self.lent(Place::Slot(slot)).await?;
        let count = reads.cmd_iter().count();
        match requests.send_packed_commands(reads, 0, count).await {
            Ok(answers) if !answers.iter().any(is_redirection) => Ok((answers, Some(lease))),
            _ => Ok((self.run_all(reads, 0, count).await?, None)),
        }
    }

    /// Runs a pipeline, or a transaction, whose keys are all in one slot.
    pub(super) async fn run_all(&self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let mut connection = self.connection(Place::of_first(pipeline)).await?;
        let answers = connection.send_packed_commands(pipeline, offset, count).await;
        match answers {
            Ok(answers) if pipeline.is_transaction() => Ok(answers),
            // Each by itself: while a slot is on its way, some of its keys are here and some there.
            Ok(answers) => {
                let settled = answers.into_iter().zip(pipeline.cmd_iter());
                try_join_all(settled.map(async |(answer, cmd)| self.settle(answer, cmd).await)).await
            }
            Err(error) => {
                let refusals = error.clone().into_server_errors().unwrap_or_default();
                let Some(redirection) = refusals.iter().find_map(|(_, refusal)| Redirection::of(refusal)) else {
                    return Err(error);
                };
                let mut connection = self.follow(&redirection).await?.requests;
                // A transaction would have to be on one side of a slot that is on its way: nobody knows that it is.
                if redirection.is_for_once {
                    return Err(error);
                }
                connection.send_packed_commands(pipeline, offset, count).await
            }
        }
    }

    /// The answer, or that of the node that `answer` says to ask.
    async fn settle(&self, answer: Value, cmd: &Cmd) -> RedisResult<Value> {
        let Value::ServerError(refusal) = &answer else { return Ok(answer) };
        let Some(redirection) = Redirection::of(refusal) else { return Ok(answer) };
        let mut node = self.follow(&redirection).await?;
        if !redirection.is_for_once {
            return node.send(cmd).await;
        }
        let cmd = node.with_deadline(cmd).into_owned();
        let asking = redis::pipe().cmd("ASKING").add_command(cmd).to_owned();
        node.requests.send_packed_commands(&asking, 1, 1).await?.pop().ok_or_else(away)
    }

    async fn connection(&self, place: Place) -> RedisResult<MultiplexedConnection> {
        Ok(self.lent(place).await?.requests)
    }

    /// A connection to where a command is to be run.
    async fn lent(&self, place: Place) -> RedisResult<Lent> {
        // The way of all requests but those at the start.
        if let Some(Some(known)) = self.link(place, Link::now) {
            return known;
        }
        let mut nodes = self.nodes.clone();
        let _ = timeout(PATIENCE, nodes.wait_for(|nodes| !nodes.links.is_empty())).await;
        let link = self.link(place, Link::clone).ok_or_else(|| failed("no node has the slot at present"))?;
        link.lent().await
    }

    fn link<T>(&self, place: Place, with: impl FnOnce(&Link) -> T) -> Option<T> {
        let nodes = self.nodes.borrow();
        match place {
            Place::Slot(slot) => nodes.links.get(nodes.view.master(slot)?).map(with),
            Place::AnyNode | Place::EveryNode => {
                nodes.links.values().find(|link| link.is_up()).or_else(|| nodes.links.values().next()).map(with)
            }
        }
    }

    /// The node that a slot has moved to, or is moving to.
    async fn follow(&self, redirection: &Redirection) -> RedisResult<Lent> {
        let knows = |nodes: &Nodes| nodes.links.contains_key(&redirection.to);
        self.doubt.notify_one();
        let mut nodes = self.nodes.clone();
        let _ = timeout(PATIENCE, nodes.wait_for(knows)).await;
        let link = self.nodes.borrow().links.get(&redirection.to).cloned();
        link.ok_or_else(|| failed("the slot has moved to a node that is not known yet"))?.lent().await
    }

    /// Succeeds where any node does: one that is away is asked again by whoever needs it.
    async fn run_everywhere(&self, cmd: &Cmd) -> RedisResult<Value> {
        self.connection(Place::AnyNode).await?;
        let links: Vec<Link> = self.nodes.borrow().links.values().cloned().collect();
        let answers = links.into_iter().map(async |link| link.connection().await?.send_packed_command(cmd).await);
        let mut answers = join_all(answers).await;
        let succeeded = answers.iter().position(Result::is_ok).unwrap_or_default();
        if answers.is_empty() { Err(away()) } else { answers.swap_remove(succeeded) }
    }
}

fn is_redirection(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(refusal) if Redirection::of(refusal).is_some())
}

/// A node's answer that a slot is elsewhere.
struct Redirection {
    to: Server,
    /// The slot is on its way: its other keys may be here still.
    is_for_once: bool,
}

impl Redirection {
    fn of(error: &ServerError) -> Option<Self> {
        let is_for_once = match error.kind()? {
            ServerErrorKind::Moved => false,
            ServerErrorKind::Ask => true,
            _ => return None,
        };
        let (_slot, address) = error.details()?.split_once(' ')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Self { to: Server { host: host.to_owned(), port: port.parse().ok()? }, is_for_once })
    }
}

/// The task that keeps [`Nodes`] true.
struct Learner {
    seeds: Vec<Server>,
    dialer: Dialer,
    changed: Changed,
    nodes: watch::Sender<Nodes>,
    doubt: Arc<Notify>,
}

impl Learner {
    async fn learn(self) {
        let nodes = self.nodes.clone();
        tokio::select! {
            () = nodes.closed() => (),
            () = self.learn_for_ever() => (),
        }
    }

    async fn learn_for_ever(&self) {
        loop {
            match self.ask().await {
                Ok(view) => self.take(view),
                Err(error) => tracing::warn!(%error, "no node of the Redis Cluster says which slots are whose"),
            }
            sleep(ASK_PAUSE).await;
            let _ = timeout(ASK_EVERY, self.doubt.notified()).await;
        }
    }

    /// The newest view of the nodes that are connected, or else of the first seed that answers.
    async fn ask(&self) -> RedisResult<View> {
        let nodes = self.nodes.borrow().clone();
        let up = nodes.links.iter().filter_map(|(server, link)| Some((server, link.now()?.ok()?)));
        let views = up.take(ASKED_MAX).map(|(server, node)| timeout(PATIENCE, View::of(server, node.requests)));
        if let Some(newest) = join_all(views).await.into_iter().flatten().flatten().max_by_key(|view| view.epoch) {
            return Ok(newest);
        }
        let seeds = self.seeds.iter().map(|seed| {
            async move {
                let connection = self.dialer.dial(seed, |_| ()).await?;
                View::of(seed, connection.requests()).await
            }
            .boxed()
        });
        Ok(select_ok(seeds).await?.0)
    }

    fn take(&self, view: View) {
        let former = self.nodes.borrow().clone();
        if former.view.ranges == view.ranges {
            return;
        }
        let link = |server: &Server| {
            former.links.get(server).cloned().unwrap_or_else(|| {
                let target = Target::Server(server.clone());
                Link::start(target, self.dialer.clone(), Arc::clone(&self.changed))
            })
        };
        let links: BTreeMap<Server, Link> = view.masters().map(|server| (server.clone(), link(server))).collect();
        tracing::info!(masters = links.len(), epoch = view.epoch, "the Redis Cluster's slots are as follows");
        self.nodes.send_replace(Nodes { view, links });
        // What was read of a slot that has moved is told of by a node that does not have it any more.
        (self.changed)(Change::Any);
    }
}
