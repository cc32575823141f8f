//! Clients that refresh while Redis stalls, is killed, and loses its last second: none is signed out.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth_api::tokens::successor_jti;
use deploy::{Options, Part, Signal, Stack};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::support::{Api, Person, claims, is_unavailable, redis, until, within_deadline};

const CLIENTS: usize = 200;

/// Of one user at most, as `SESSIONS_MAX` has it.
const SESSIONS_OF_A_USER: usize = 50;

/// Between a 503 and the next attempt: more attempts than any client would make.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A client that is signed in, and retries what is 503.
struct Client {
    person: Person,
    rotations: usize,
    unavailable: usize,
}

impl Client {
    /// Refreshes once; each token has one successor, however often it is presented.
    async fn refresh(&mut self) {
        let answer = loop {
            let answer = within_deadline("refresh", self.person.refresh()).await;
            if answer.status != 503 {
                break answer;
            }
            is_unavailable("refresh", &answer);
            self.unavailable += 1;
            tokio::time::sleep(RETRY_AFTER).await;
        };
        let pair = answer.expect_status(200).json();
        let text = |name: &str| pair[name].as_str().unwrap().to_owned();
        let expected = successor_jti(jti(&self.person.refresh));
        (self.person.access, self.person.refresh) = (text("access"), text("refresh"));
        assert_eq!(jti(&self.person.refresh), expected, "the session was forked");
        self.rotations += 1;
    }
}

fn jti(token: &str) -> Uuid {
    claims(token)["jti"].as_str().unwrap().parse().unwrap()
}

/// A stack whose passwords cost little.
fn options() -> Options {
    Options::scratch().unwrap().with("ARGON2_MEMORY_KIB", "8").with("ARGON2_PASSES", "1")
}

async fn sign_in(stack: &Stack) -> Vec<Client> {
    let api = Api::at(&stack.env().base);
    let mut people = Vec::new();
    while people.len() < CLIENTS {
        let person = Person::at(&api).await;
        let others = join_all((1..SESSIONS_OF_A_USER).map(|_| Person::sign_in(&api, &person.email))).await;
        people.push(person);
        people.extend(others);
    }
    people.into_iter().map(|person| Client { person, rotations: 0, unavailable: 0 }).collect()
}

/// All refresh once, at the same time.
async fn all_refresh(clients: &mut [Client]) {
    join_all(clients.iter_mut().map(Client::refresh)).await;
}

/// Longer than a request waits for Redis and the grace together.
const STALL: Duration = Duration::from_secs(6);

/// The scripts that Redis has received before it stalls or meanwhile are executed when it resumes, each long after its
/// client was answered, and has begun to retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_redis_signs_no_client_out_however_late_it_executes_scripts() {
    let stack = Stack::start(options().with("REFRESH_GRACE_SECONDS", "2")).unwrap();
    let mut clients = sign_in(&stack).await;
    all_refresh(&mut clients).await;
    stack.signal(Part::Redis, Signal::STOP).unwrap();
    let resumed = async {
        tokio::time::sleep(STALL).await;
        stack.signal(Part::Redis, Signal::CONT).unwrap();
    };
    tokio::join!(all_refresh(&mut clients), resumed);
    assert!(clients.iter().all(|client| client.unavailable > 0), "a client has not noticed");
    all_refresh(&mut clients).await;
    assert!(clients.iter().all(|client| client.rotations == 3));
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_or_loses_its_last_rotations_signs_no_client_out() {
    let options = options();
    let append_only_files = options.data.join("redis/appendonlydir");
    let stack = Stack::start(options).unwrap();
    let mut clients = sign_in(&stack).await;
    clients = killed_under_load(&stack, clients).await;

    // What Redis writes from here on is lost: one rotation of each client.
    let written = async || redis(stack.env(), &["INFO", "persistence"]).contains("aof_buffer_length:0");
    until("all is written", Duration::from_secs(5), written).await;
    let file = newest(&append_only_files);
    let length = file.metadata().unwrap().len();
    all_refresh(&mut clients).await;
    stack.kill(Part::Redis).unwrap();
    let lost = file.metadata().unwrap().len() - length;
    file.set_len(length).unwrap();
    assert!(lost > 0, "nothing was lost");
    stack.restart(Part::Redis).unwrap();
    all_refresh(&mut clients).await;
    all_refresh(&mut clients).await;
    stack.shutdown();
}

/// Redis is killed and started again under clients that refresh all the time.
async fn killed_under_load(stack: &Stack, clients: Vec<Client>) -> Vec<Client> {
    const KILLS: usize = 3;
    let ended = Arc::new(AtomicBool::new(false));
    let refreshing = clients.into_iter().map(|mut client| {
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                client.refresh().await;
            }
            client
        })
    });
    let refreshing: Vec<_> = refreshing.collect();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stack.kill(Part::Redis).unwrap();
        stack.restart(Part::Redis).unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    let clients: Vec<Client> = join_all(refreshing).await.into_iter().map(Result::unwrap).collect();
    let total = |count: fn(&Client) -> usize| clients.iter().map(count).sum::<usize>();
    println!("{} refreshes, {} answers of 503", total(|client| client.rotations), total(|client| client.unavailable));
    assert!(total(|client| client.unavailable) > 0, "no client has noticed");
    clients
}

/// The append-only file that Redis writes to.
fn newest(directory: &PathBuf) -> std::fs::File {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let newest = files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    std::fs::File::options().write(true).open(newest).unwrap()
}
