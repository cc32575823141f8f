//! Random orders of uploads, removals, deletions, sweeps, crashes and repairs by hand, on a real Postgres and a storage
//! that is a list. Nothing that has an owner is ever deleted, and in the end nothing else is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use auth_api::store::{self, Connection, PostgresConfig, migrations, picture_deletions, stored_pictures};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::media_api::ImageId;
use shared::random::Random;

use crate::support::{postgres, stack, unique};

/// Of an upload, in seconds; and of an orphan.
const UPLOAD_GRACE: u64 = 60;
const ORPHAN_GRACE: u64 = 1000;
const RETRY_PAUSE: Duration = Duration::from_secs(30);

const CASES: u32 = 150;

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Somebody begins to upload: as a new user, or in place of the picture they have.
    Upload,
    /// Somebody's picture is taken away.
    Remove(usize),
    /// A replica looks for what is due.
    Delete,
    /// A replica begins to sweep.
    Sweep,
    /// Whoever is at work does their next step.
    Step(usize),
    /// They do no more.
    Crash(usize),
    /// Time passes, in seconds.
    Wait(u64),
    /// An operator restores an old back-up: somebody has no picture any more, without a note.
    Forget(usize),
    /// And gives the picture back.
    GiveBack(usize),
    /// A picture is stored that nobody knows of.
    Plant,
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
        1 => any.clone().prop_map(Event::Forget),
        1 => any.prop_map(Event::GiveBack),
        1 => Just(Event::Plant),
    ];
    prop::collection::vec(event, 1..60)
}

/// What somebody who is at work does next.
#[derive(Clone, Debug)]
enum Work {
    /// Their upload is noted: store it.
    Store(String),
    /// It is stored: become its owner, in place of what this user has, or as a new one.
    Adopt(String),
    /// Its owner has been taken, or its deletion has begun: delete it, however late.
    Delete(String),
    /// It is deleted: so is the note.
    Finish(String),
    /// These were stored, and old enough, when the sweep listed.
    Note(Vec<String>),
}

struct World {
    client: Connection,
    /// The ages of the pictures that are stored, in seconds.
    storage: BTreeMap<String, u64>,
    at_work: Vec<Work>,
    /// Pictures that were taken from their owner without a note.
    forgotten: Vec<String>,
}

impl World {
    async fn happens(&mut self, event: Event) {
        match event {
            Event::Upload => {
                let id = ImageId::new(&Random::system()).hex();
                picture_deletions::note(&self.client, &id, Duration::from_secs(UPLOAD_GRACE)).await.unwrap();
                self.at_work.push(Work::Store(id));
            }
            Event::Remove(which) => self.remove(which).await,
            Event::Delete => {
                picture_deletions::forget_owned(&self.client).await.unwrap();
                if let Some(id) = picture_deletions::begin_due(&self.client, RETRY_PAUSE).await.unwrap() {
                    self.at_work.push(Work::Delete(id));
                }
            }
            Event::Sweep => {
                let old = self.storage.iter().filter(|(_, age)| **age >= ORPHAN_GRACE);
                let listed = old.map(|(id, _)| id.clone()).collect();
                self.at_work.push(Work::Note(listed));
            }
            Event::Step(who) if who < self.at_work.len() => {
                let work = self.at_work.remove(who);
                let next = self.step(work).await;
                self.at_work.extend(next);
            }
            Event::Crash(who) if who < self.at_work.len() => drop(self.at_work.remove(who)),
            Event::Wait(seconds) => self.wait(seconds).await,
            Event::Forget(which) => {
                if let Some(id) = self.owned().await.into_iter().nth(which) {
                    self.run(&format!("update users set profile_pic = null where profile_pic = '{id}.png'")).await;
                    self.forgotten.push(id);
                }
            }
            Event::GiveBack(which) if which < self.forgotten.len() => {
                let id = self.forgotten.remove(which);
                // What is being deleted can't be had back.
                let begun = format!("select from picture_deletions where picture_id = '{id}' and begun_at is not null");
                if self.storage.contains_key(&id) && self.run(&begun).await == 0 {
                    self.insert_owner(&id).await;
                }
            }
            Event::Step(_) | Event::Crash(_) | Event::GiveBack(_) => {}
            Event::Plant => drop(self.storage.insert(ImageId::new(&Random::system()).hex(), 0)),
        }
        let stored: BTreeSet<String> = self.storage.keys().cloned().collect();
        let owned = self.owned().await;
        assert!(owned.is_subset(&stored), "a picture with an owner was deleted");
    }

    /// The same order of statements as in `auth_api::pictures` and `auth_api::accounts`.
    async fn step(&mut self, work: Work) -> Option<Work> {
        match work {
            Work::Store(id) => {
                self.storage.insert(id.clone(), 0);
                Some(Work::Adopt(id))
            }
            Work::Adopt(id) => {
                let replaced = self.owned().await.into_iter().next().filter(|_| self.at_work.len() % 2 == 1);
                self.run("begin").await;
                if !picture_deletions::call_off(&self.client, &id).await.unwrap() {
                    self.run("rollback").await;
                    return None;
                }
                let Some(replaced) = replaced else {
                    self.insert_owner(&id).await;
                    self.run("commit").await;
                    return None;
                };
                picture_deletions::note(&self.client, &replaced, Duration::ZERO).await.unwrap();
                self.run(&format!("update users set profile_pic = '{id}.png' where profile_pic = '{replaced}.png'"))
                    .await;
                self.run("commit").await;
                Some(Work::Delete(replaced))
            }
            Work::Delete(id) => {
                self.storage.remove(&id);
                Some(Work::Finish(id))
            }
            Work::Finish(id) => {
                picture_deletions::finish(&self.client, &id).await.unwrap();
                None
            }
            Work::Note(ids) => {
                let grace = Duration::from_secs(ORPHAN_GRACE);
                stored_pictures::note_orphans(&self.client, &ids, grace).await.unwrap();
                None
            }
        }
    }

    async fn remove(&mut self, which: usize) {
        let Some(id) = self.owned().await.into_iter().nth(which) else { return };
        self.run("begin").await;
        picture_deletions::note(&self.client, &id, Duration::ZERO).await.unwrap();
        self.run(&format!("update users set profile_pic = null where profile_pic = '{id}.png'")).await;
        self.run("commit").await;
        self.at_work.push(Work::Delete(id));
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

    /// Nobody is at work any more, and time goes on.
    async fn comes_to_rest(&mut self) {
        self.at_work.clear();
        for _ in 0..3 {
            self.happens(Event::Wait(ORPHAN_GRACE + 1)).await;
            for event in [Event::Sweep, Event::Step(0)] {
                self.happens(event).await;
            }
            loop {
                self.happens(Event::Delete).await;
                if self.at_work.is_empty() {
                    break;
                }
                for event in [Event::Step(0), Event::Step(0)] {
                    self.happens(event).await;
                }
            }
        }
        let stored: BTreeSet<String> = self.storage.keys().cloned().collect();
        assert_eq!(stored, self.owned().await, "what is stored is what is owned");
        assert_eq!(self.run("select from picture_deletions").await, 0, "no note is left");
    }
}

/// A schema of the test's own in the shared Postgres, with our tables. It goes when dropped.
struct Schema {
    name: String,
    config: PostgresConfig,
}

impl Schema {
    async fn new() -> Self {
        let name = format!("orphans_{}", unique());
        postgres(stack(), &format!("create schema {name}"));
        let mut config =
            PostgresConfig { server: stack().postgres.parse().unwrap(), connections_max: 4, timeout: RETRY_PAUSE };
        config.server.options(format!("-c search_path={name} -c synchronous_commit=off"));
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
fn nothing_with_an_owner_is_ever_deleted_and_nothing_else_is_left() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let schema = runtime.block_on(Schema::new());
    let pool = store::postgres(&schema.config).unwrap();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let result = runner.run(&events(), |events| {
        runtime.block_on(async {
            let client = pool.get().await.unwrap();
            client.batch_execute("rollback; truncate users, picture_deletions").await.unwrap();
            let mut world = World { client, storage: BTreeMap::new(), at_work: Vec::new(), forgotten: Vec::new() };
            for event in events {
                world.happens(event).await;
            }
            world.comes_to_rest().await;
        });
        Ok(())
    });
    drop(pool);
    result.unwrap();
}

/// Whoever becomes an owner and whoever deletes meet at the note: one of them has it, and the other knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_is_due_is_either_adopted_or_deleted() {
    let schema = Schema::new().await;
    let pool = store::postgres(&schema.config).unwrap();
    let (deleter, adopter) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let mut count = 0;
    for _ in 0..200 {
        let id = ImageId::new(&Random::system()).hex();
        picture_deletions::note(&deleter, &id, Duration::ZERO).await.unwrap();
        let delete = async { picture_deletions::begin_due(&deleter, RETRY_PAUSE).await.unwrap().is_some() };
        let adopt = async {
            adopter.batch_execute("begin").await.unwrap();
            let is_had = picture_deletions::call_off(&adopter, &id).await.unwrap();
            adopter.batch_execute("commit").await.unwrap();
            is_had
        };
        let (is_deleted, is_adopted) = tokio::join!(delete, adopt);
        // Passed over while the other had it locked, it would be due still: the other has taken it.
        assert_ne!(is_deleted, is_adopted);
        count += u32::from(is_adopted);
        picture_deletions::finish(&deleter, &id).await.unwrap();
    }
    println!("{count} of 200 were adopted");
    drop((deleter, adopter, pool));
}

/// A sweep lists a picture, which is deleted before the sweep notes it: that note is none of the upload, which comes back
/// later still.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_does_not_take_the_note_of_a_sweep_for_its_own() {
    let schema = Schema::new().await;
    let pool = store::postgres(&schema.config).unwrap();
    let client = pool.get().await.unwrap();
    let id = ImageId::new(&Random::system()).hex();
    picture_deletions::note(&client, &id, Duration::ZERO).await.unwrap();
    assert_eq!(picture_deletions::begin_due(&client, RETRY_PAUSE).await.unwrap().as_ref(), Some(&id));
    picture_deletions::finish(&client, &id).await.unwrap();
    let listed = [id.clone()];
    assert_eq!(stored_pictures::note_orphans(&client, &listed, Duration::ZERO).await.unwrap(), 1);
    assert!(!picture_deletions::call_off(&client, &id).await.unwrap(), "its picture is gone");
    drop((client, pool));
}
