//! Clients that refresh while Redis hangs, is killed, and loses its last second of writes: no session is revoked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth_api::tokens::successor_jti;
use deploy::{Service, Signal};
use futures_util::future::join_all;
use tokio::time::sleep;
use uuid::Uuid;

use crate::support::{OwnStack, TestUser, assert_unavailable, claims, redis, wait_until, within_deadline};

const CLIENTS: usize = 200;

/// The default of `SESSIONS_MAX`.
const SESSIONS_OF_A_USER: usize = 50;

/// The pause after a 503: shorter than that of any real client.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Settings that make passwords cheap.
const CHEAP_PASSWORDS: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];

/// A signed-in client that retries after a 503.
struct Client {
    user: TestUser,
    rotations: usize,
    unavailable: usize,
}

impl Client {
    /// Refreshes once, and asserts that the token has only one successor, however often it is presented.
    async fn refresh(&mut self) {
        let response = loop {
            let response = within_deadline("refresh", self.user.refresh()).await;
            if response.status != 503 {
                break response;
            }
            assert_unavailable("refresh", &response);
            self.unavailable += 1;
            sleep(RETRY_AFTER).await;
        };
        let expected = successor_jti(jti(&self.user.refresh));
        self.user = self.user.with_tokens(&response.expect_status(200).json());
        assert_eq!(jti(&self.user.refresh), expected, "the session was forked");
        self.rotations += 1;
    }
}

fn jti(token: &str) -> Uuid {
    claims(token)["jti"].as_str().unwrap().parse().unwrap()
}

async fn sign_in(stack: &OwnStack) -> Vec<Client> {
    let mut users = Vec::new();
    while users.len() < CLIENTS {
        let user = TestUser::at(&stack.api).await;
        users.extend(join_all((1..SESSIONS_OF_A_USER).map(|_| user.sign_in_again())).await);
        users.push(user);
    }
    users.into_iter().map(|user| Client { user, rotations: 0, unavailable: 0 }).collect()
}

/// All clients refresh once, concurrently.
async fn all_refresh(clients: &mut [Client]) {
    join_all(clients.iter_mut().map(Client::refresh)).await;
}

/// Longer than the Redis timeout of a request and the grace period together.
const HANG: Duration = Duration::from_secs(6);

/// Redis executes the scripts that it has received when it resumes: long after their clients have got a 503 and retried.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_redis_revokes_no_session_however_late_it_executes_scripts() {
    let [memory, passes] = CHEAP_PASSWORDS;
    let stack = OwnStack::start(&[memory, passes, ("REFRESH_GRACE_SECONDS", "2")]);
    let mut clients = sign_in(&stack).await;
    all_refresh(&mut clients).await;
    stack.signal(Service::Redis, Signal::STOP).unwrap();
    let resumed = async {
        sleep(HANG).await;
        stack.signal(Service::Redis, Signal::CONT).unwrap();
    };
    tokio::join!(all_refresh(&mut clients), resumed);
    assert!(clients.iter().all(|client| client.unavailable > 0), "a client has not noticed");
    all_refresh(&mut clients).await;
    assert!(clients.iter().all(|client| client.rotations == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_that_loses_the_last_rotations_revokes_no_session() {
    let stack = OwnStack::start(&CHEAP_PASSWORDS);
    let mut clients = sign_in(&stack).await;
    clients = kill_under_load(&stack, clients).await;

    // Redis loses what it writes from here on: one rotation of each client.
    let is_written = async || redis(stack.env(), &["INFO", "persistence"]).contains("aof_buffer_length:0");
    wait_until("the append-only file is written", Duration::from_secs(5), is_written).await;
    let file = newest_file(&stack.data.join("redis/appendonlydir"));
    let length = file.metadata().unwrap().len();
    all_refresh(&mut clients).await;
    stack.kill(Service::Redis).unwrap();
    let lost = file.metadata().unwrap().len() - length;
    file.set_len(length).unwrap();
    assert!(lost > 0, "nothing was lost");
    stack.restart(Service::Redis).unwrap();
    all_refresh(&mut clients).await;
    all_refresh(&mut clients).await;
}

/// Kills and restarts Redis while all clients refresh continuously.
async fn kill_under_load(stack: &OwnStack, clients: Vec<Client>) -> Vec<Client> {
    const KILLS: usize = 3;
    let stopped = Arc::new(AtomicBool::new(false));
    let refreshing = clients.into_iter().map(|mut client| {
        let stopped = Arc::clone(&stopped);
        tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                client.refresh().await;
            }
            client
        })
    });
    let refreshing: Vec<_> = refreshing.collect();
    for _ in 0..KILLS {
        sleep(Duration::from_millis(500)).await;
        stack.kill(Service::Redis).unwrap();
        stack.restart(Service::Redis).unwrap();
    }
    stopped.store(true, Ordering::Relaxed);
    let clients: Vec<Client> = join_all(refreshing).await.into_iter().map(Result::unwrap).collect();
    let total = |count: fn(&Client) -> usize| clients.iter().map(count).sum::<usize>();
    println!("{} refreshes, {} responses of 503", total(|client| client.rotations), total(|client| client.unavailable));
    assert!(total(|client| client.unavailable) > 0, "no client has noticed");
    clients
}

/// The append-only file that Redis is writing.
fn newest_file(directory: &Path) -> std::fs::File {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let newest = files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    std::fs::File::options().write(true).open(newest).unwrap()
}
