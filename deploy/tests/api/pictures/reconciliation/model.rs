//! Model test of picture ownership: random sequences of uploads, removals, deletions, sweeps, crashes and manual edits, on
//! a real Postgres and an in-memory storage. No owned picture is ever deleted, and in the end no other is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use auth_api::store::postgres::server::PostgresServer;
use auth_api::store::postgres::{Connection, Executor as _, Postgres, PostgresConfig};
use auth_api::store::{migrations, pending_deletions, stored_pictures};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{image_id, postgres, stack, unique};

/// In seconds.
const UPLOAD_GRACE: u64 = 60;
const ORPHAN_GRACE: u64 = 1000;
const RETRY_PAUSE: Duration = Duration::from_secs(30);

const CASES: u32 = 150;

/// An event; `usize` is the index of a user or of a task in progress.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// An upload starts: of a new user, or in place of an existing picture.
    Upload,
    /// A user removes their picture.
    Remove(usize),
    /// A replica claims a deletion that is due.
    Delete,
    /// A replica starts a sweep.
    Sweep,
    /// A task does its next step.
    Step(usize),
    /// A task ends before its next step.
    Crash(usize),
    /// Time passes, in seconds.
    Wait(u64),
    /// An operator restores an old back-up: a user loses the reference to their picture, and no deletion is pending.
    LoseReference(usize),
    /// The operator restores the reference.
    Restore(usize),
    /// A picture is stored without a pending deletion.
    InjectOrphan,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let any = 0..8_usize;
    let event = prop_oneof![
        3 => Just(Event::Upload),
        2 => any.clone().prop_map(Event::Remove),
        3 => Just(Event::Delete),
        3 => Just(Event::Sweep),
        12 => any.clone().prop_map(Event::Step),
        1 => any.clone().prop_map(Event::Crash),
        4 => prop_oneof![Just(20), Just(61), Just(1001)].prop_map(Event::Wait),
        1 => any.clone().prop_map(Event::LoseReference),
        1 => any.prop_map(Event::Restore),
        1 => Just(Event::InjectOrphan),
    ];
    prop::collection::vec(event, 1..60)
}

/// The next step of a task in progress.
#[derive(Clone, Debug)]
enum Task {
    /// Store an upload, whose deletion is pending.
    Store(String),
    /// Attach a stored upload to a user, and cancel its pending deletion.
    Attach(String),
    /// Delete a detached picture from the storage, however late.
    Delete(String),
    /// Complete the pending deletion.
    Complete(String),
    /// Enqueue deletions of those of these pictures, listed by a sweep, that are orphans.
    EnqueueOrphans(Vec<String>),
}

struct Model {
    client: Connection,
    /// The ages of the stored pictures, in seconds.
    storage: BTreeMap<String, u64>,
    tasks: Vec<Task>,
    /// Pictures whose reference was lost.
    lost: Vec<String>,
}

impl Model {
    async fn apply(&mut self, event: Event) {
        match event {
            Event::Upload => {
                let id = image_id();
                pending_deletions::enqueue(&self.client, &id, Duration::from_secs(UPLOAD_GRACE)).await.unwrap();
                self.tasks.push(Task::Store(id));
            }
            Event::Remove(which) => self.remove(which).await,
            Event::Delete => {
                pending_deletions::cancel_owned(&self.client).await.unwrap();
                if let Some(id) = pending_deletions::claim_next(&self.client, RETRY_PAUSE).await.unwrap() {
                    self.tasks.push(Task::Delete(id));
                }
            }
            Event::Sweep => {
                let old = self.storage.iter().filter(|(_, age)| **age >= ORPHAN_GRACE);
                let listed = old.map(|(id, _)| id.clone()).collect();
                self.tasks.push(Task::EnqueueOrphans(listed));
            }
            Event::Step(index) if index < self.tasks.len() => {
                let task = self.tasks.remove(index);
                let next = self.step(task).await;
                self.tasks.extend(next);
            }
            Event::Crash(index) if index < self.tasks.len() => drop(self.tasks.remove(index)),
            Event::Wait(seconds) => self.wait(seconds).await,
            Event::LoseReference(which) => {
                if let Some(id) = self.owned().await.into_iter().nth(which) {
                    self.run(&format!("update users set profile_pic = null where profile_pic = '{id}.png'")).await;
                    self.lost.push(id);
                }
            }
            Event::Restore(which) if which < self.lost.len() => {
                let id = self.lost.remove(which);
                // A picture whose deletion has begun can't be restored.
                let begun = format!("select from picture_deletions where picture_id = '{id}' and begun_at is not null");
                if self.storage.contains_key(&id) && self.run(&begun).await == 0 {
                    self.insert_owner(&id).await;
                }
            }
            Event::Step(_) | Event::Crash(_) | Event::Restore(_) => {}
            Event::InjectOrphan => drop(self.storage.insert(image_id(), 0)),
        }
        let stored: BTreeSet<String> = self.storage.keys().cloned().collect();
        let owned = self.owned().await;
        assert!(owned.is_subset(&stored), "a picture with an owner was deleted");
    }

    /// Executes the statements in the order of `auth_api::pictures::outbox` and `auth_api::handlers::accounts`.
    async fn step(&mut self, task: Task) -> Option<Task> {
        match task {
            Task::Store(id) => {
                self.storage.insert(id.clone(), 0);
                Some(Task::Attach(id))
            }
            Task::Attach(id) => {
                let replaced = self.owned().await.into_iter().next().filter(|_| self.tasks.len() % 2 == 1);
                self.run("begin").await;
                if !pending_deletions::cancel(&self.client, &id).await.unwrap() {
                    self.run("rollback").await;
                    return None;
                }
                let Some(replaced) = replaced else {
                    self.insert_owner(&id).await;
                    self.run("commit").await;
                    return None;
                };
                pending_deletions::enqueue(&self.client, &replaced, Duration::ZERO).await.unwrap();
                self.run(&format!("update users set profile_pic = '{id}.png' where profile_pic = '{replaced}.png'"))
                    .await;
                self.run("commit").await;
                Some(Task::Delete(replaced))
            }
            Task::Delete(id) => {
                self.storage.remove(&id);
                Some(Task::Complete(id))
            }
            Task::Complete(id) => {
                pending_deletions::complete(&self.client, &id).await.unwrap();
                None
            }
            Task::EnqueueOrphans(ids) => {
                let grace = Duration::from_secs(ORPHAN_GRACE);
                stored_pictures::enqueue_orphans(&self.client, &ids, grace).await.unwrap();
                None
            }
        }
    }

    async fn remove(&mut self, which: usize) {
        let Some(id) = self.owned().await.into_iter().nth(which) else { return };
        self.run("begin").await;
        pending_deletions::enqueue(&self.client, &id, Duration::ZERO).await.unwrap();
        self.run(&format!("update users set profile_pic = null where profile_pic = '{id}.png'")).await;
        self.run("commit").await;
        self.tasks.push(Task::Delete(id));
    }

    async fn insert_owner(&self, id: &str) {
        self.run(&format!(
            "insert into users (id, email, email_canonical, full_name, password_hash, password_stamp, profile_pic)
             values (gen_random_uuid(), '', gen_random_uuid(), 'Ann', '', gen_random_uuid(), '{id}.png')"
        ))
        .await;
    }

    async fn wait(&mut self, seconds: u64) {
        self.run(&format!("update picture_deletions set due_at = due_at - interval '{seconds} s'")).await;
        for age in self.storage.values_mut() {
            *age += seconds;
        }
    }

    async fn owned(&self) -> BTreeSet<String> {
        let rows =
            self.client.query("select left(profile_pic, 32) from users where profile_pic is not null", &[]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn run(&self, sql: &str) -> u64 {
        self.client.execute(sql, &[]).await.unwrap()
    }

    /// Ends all tasks, and lets time pass until all deletions are done.
    async fn drain(&mut self) {
        self.tasks.clear();
        for _ in 0..3 {
            self.apply(Event::Wait(ORPHAN_GRACE + 1)).await;
            for event in [Event::Sweep, Event::Step(0)] {
                self.apply(event).await;
            }
            loop {
                self.apply(Event::Delete).await;
                if self.tasks.is_empty() {
                    break;
                }
                for event in [Event::Step(0), Event::Step(0)] {
                    self.apply(event).await;
                }
            }
        }
        let stored: BTreeSet<String> = self.storage.keys().cloned().collect();
        assert_eq!(stored, self.owned().await, "the stored pictures are the owned ones");
        assert_eq!(self.run("select from picture_deletions").await, 0, "no deletion is pending");
    }
}

/// A schema of one test in the shared Postgres, with the migrated tables; removed when dropped.
struct Schema {
    name: String,
    config: PostgresConfig,
}

impl Schema {
    async fn new() -> Self {
        let name = format!("orphans_{}", unique());
        postgres(stack(), &format!("create schema {name}"));
        let options = format!("-c%20search_path%3D{name}%20-c%20synchronous_commit%3Doff");
        let server = PostgresServer::parse(&format!("{}?options={options}", stack().postgres)).unwrap();
        let config = PostgresConfig { listen_server: server.clone(), server, connections_max: 4, timeout: RETRY_PAUSE };
        migrations::run(&config.server).await.unwrap();
        Self { name, config }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        postgres(stack(), &format!("drop schema {} cascade", self.name));
    }
}

#[test]
fn an_owned_picture_is_never_deleted_and_every_other_one_is() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let schema = runtime.block_on(Schema::new());
    let pool = Postgres::new(&schema.config).unwrap();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let result = runner.run(&events(), |events| {
        runtime.block_on(async {
            let client = pool.get().await.unwrap();
            client.execute("rollback", &[]).await.unwrap();
            client.execute("truncate users, picture_deletions", &[]).await.unwrap();
            let mut model = Model { client, storage: BTreeMap::new(), tasks: Vec::new(), lost: Vec::new() };
            for event in events {
                model.apply(event).await;
            }
            model.drain().await;
        });
        Ok(())
    });
    drop(pool);
    result.unwrap();
}

/// Attaching and deleting race for the row of the pending deletion: one of the two wins.
#[tokio::test(flavor = "multi_thread")]
async fn a_due_picture_is_either_attached_or_deleted() {
    let schema = Schema::new().await;
    let pool = Postgres::new(&schema.config).unwrap();
    let (deleter, attacher) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let mut count = 0;
    for _ in 0..200 {
        let id = image_id();
        pending_deletions::enqueue(&deleter, &id, Duration::ZERO).await.unwrap();
        let delete = async { pending_deletions::claim_next(&deleter, RETRY_PAUSE).await.unwrap().is_some() };
        let attach = async {
            attacher.execute("begin", &[]).await.unwrap();
            let is_attached = pending_deletions::cancel(&attacher, &id).await.unwrap();
            attacher.execute("commit", &[]).await.unwrap();
            is_attached
        };
        let (is_deleted, is_attached) = tokio::join!(delete, attach);
        // A row that the claim skips because it is locked is being attached.
        assert_ne!(is_deleted, is_attached);
        count += u32::from(is_attached);
        pending_deletions::complete(&deleter, &id).await.unwrap();
    }
    println!("{count} of 200 were attached");
    drop((deleter, attacher, pool));
}

/// The sweep lists a picture that is deleted before the sweep enqueues it: the late upload must not take that row for its
/// own.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_does_not_attach_a_picture_that_only_a_sweep_has_enqueued() {
    let schema = Schema::new().await;
    let pool = Postgres::new(&schema.config).unwrap();
    let client = pool.get().await.unwrap();
    let id = image_id();
    pending_deletions::enqueue(&client, &id, Duration::ZERO).await.unwrap();
    assert_eq!(pending_deletions::claim_next(&client, RETRY_PAUSE).await.unwrap().as_ref(), Some(&id));
    pending_deletions::complete(&client, &id).await.unwrap();
    let listed = [id.clone()];
    assert_eq!(stored_pictures::enqueue_orphans(&client, &listed, Duration::ZERO).await.unwrap(), 1);
    assert!(!pending_deletions::cancel(&client, &id).await.unwrap(), "the picture was deleted");
    drop((client, pool));
}
