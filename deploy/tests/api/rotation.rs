//! The one script that decides on a refresh token, against a model of what it promises, on a real Redis.

use std::time::Duration;

use auth_api::store::redis_link::address::RedisAddress;
use auth_api::store::redis_link::{Redis, RedisConfig};
use auth_api::store::sessions::{self, NewSession, Rotation, SessionId, Shown};
use auth_api::tokens::{refresh_digest, successor_jti};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::random::Random;
use uuid::Uuid;

use crate::support::stack;

const GRACE: u64 = 10;
const LIFETIME: Duration = Duration::from_hours(1);
const STAMP: Uuid = Uuid::from_u128(7);

/// What may happen to a session.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The token so many steps behind the newest is shown, at a replica whose clock is off by so many seconds.
    Show { behind: usize, skew: i64 },
    /// The same by one who knows of another password.
    ShowWithOtherPassword,
    /// Time passes.
    Wait(u64),
    /// The owner ends it.
    LogOut,
    /// Redis forgets it: it expires, or an operator deletes its key.
    Expire,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0..4_usize, -3..=3_i64).prop_map(|(behind, skew)| Event::Show { behind, skew }),
        1 => Just(Event::ShowWithOtherPassword),
        4 => (0..15_u64).prop_map(Event::Wait),
        1 => Just(Event::LogOut),
        1 => Just(Event::Expire),
    ];
    prop::collection::vec(event, 1..30)
}

/// What is promised. The tokens are numbered in the order of their line.
struct Model {
    newest: usize,
    rotated_at: Option<u64>,
    is_alive: bool,
}

impl Model {
    fn show(&mut self, token: usize, now: u64) -> Rotation {
        if !self.is_alive {
            return Rotation::Over;
        }
        if token == self.newest {
            self.newest += 1;
            self.rotated_at = Some(now);
            return Rotation::Issued(now);
        }
        match self.rotated_at {
            Some(at) if token + 1 == self.newest && now.saturating_sub(at) <= GRACE => Rotation::Issued(at),
            _ => {
                self.is_alive = false;
                Rotation::Reused
            }
        }
    }
}

fn redis() -> Redis {
    let address: RedisAddress = stack().redis_url().parse().expect("an address");
    let config = RedisConfig {
        password: address.password.clone(),
        address,
        sentinel_password: None,
        tls: None,
        timeout: Duration::from_secs(5),
    };
    Redis::connect(&config, |_| ()).expect("a link")
}

async fn run(redis: &Redis, events: &[Event]) -> Result<(), TestCaseError> {
    let id = || Uuid::from_bytes(Random::system().bytes());
    let session = SessionId { user_id: id(), sid: id() };
    let mut line = vec![id()];
    let mut now = 1_000_000;
    let new = NewSession {
        id: session,
        refresh_digest: &refresh_digest(line[0]),
        stamp: STAMP,
        now,
        lifetime: LIFETIME,
        ip: [127, 0, 0, 1].into(),
        user_agent: "",
    };
    sessions::create(redis, &new, 50).await.expect("a session");
    let mut model = Model { newest: 0, rotated_at: None, is_alive: true };
    for event in events {
        let show = async |token: usize, stamp, now| {
            let shown = Shown {
                session,
                digest: &refresh_digest(line[token]),
                successor_digest: &refresh_digest(successor_jti(line[token])),
                stamp,
            };
            sessions::rotate(redis, shown, now, LIFETIME, Duration::from_secs(GRACE)).await.expect("an answer")
        };
        match *event {
            Event::Show { behind, skew } => {
                let (token, at) = (model.newest.saturating_sub(behind), now.saturating_add_signed(skew));
                prop_assert_eq!(show(token, STAMP, at).await, model.show(token, at));
            }
            Event::ShowWithOtherPassword => {
                let expected = if model.is_alive { Rotation::OtherPassword } else { Rotation::Over };
                prop_assert_eq!(show(model.newest, Uuid::from_u128(8), now).await, expected);
            }
            Event::Wait(seconds) => now += seconds,
            Event::LogOut => {
                prop_assert_eq!(sessions::end(redis, session).await.expect("an answer"), model.is_alive);
                model.is_alive = false;
            }
            Event::Expire => {
                crate::support::redis(stack(), &["DEL", &session.key()]);
                model.is_alive = false;
            }
        }
        if line.len() <= model.newest {
            line.push(successor_jti(line[model.newest - 1]));
        }
        prop_assert_eq!(sessions::stamps(redis, session).await.expect("an answer").0.is_some(), model.is_alive);
    }
    let _ = sessions::end(redis, session).await;
    Ok(())
}

#[test]
fn whatever_happens_a_session_has_one_line_of_tokens_and_ends_when_one_is_shown_that_was_kept() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let redis = redis();
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner.run(&events(), |events| runtime.block_on(run(&redis, &events))).unwrap();
}
