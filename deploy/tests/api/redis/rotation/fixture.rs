//! A session in Redis, and operations on it.

use std::time::Duration;

use auth_api::password_file::Password;
use auth_api::redis_client::address::RedisAddress;
use auth_api::redis_client::{Redis, RedisConfig};
use auth_api::store::StoreError;
use auth_api::store::sessions::{self, NewSession, PresentedToken, RotationOutcome, SessionId, StampState};
use auth_api::tokens::{access_jti, refresh_digests, successor_jti};
use redis::Script;
use shared::random::Random;
use uuid::Uuid;

use crate::support::stack;

/// More than a case takes on a slow machine.
pub const SECONDS_OF_A_CASE: u64 = 60;

const LIFETIME: Duration = Duration::from_hours(24);

/// Connections to the stack's Redis.
pub struct Connections {
    redis: Redis,
    /// A connection whose scripts are all executed past their deadline.
    late: Redis,
    previous_release: Script,
}

impl Connections {
    pub fn new() -> Self {
        let address: RedisAddress = stack().redis_url().parse().expect("an address");
        let timeout = Duration::from_secs(5);
        let connect = |script_deadline| {
            let (address, password) = (address.clone(), Password::fixed(address.password.clone()));
            let sentinel_password = Password::default();
            let config = RedisConfig { address, password, sentinel_password, tls: None, timeout, script_deadline };
            Redis::connect(&config, |_| ())
        };
        let previous_release = Script::new(include_str!("previous_release.lua"));
        Self { redis: connect(timeout), late: connect(Duration::ZERO), previous_release }
    }
}

/// A session, and the id that its tokens are derived from.
pub struct Fixture<'a> {
    connections: &'a Connections,
    pub id: SessionId,
    first_jti: Uuid,
    grace: Duration,
}

pub fn outcome_of((outcome, _): (RotationOutcome, Vec<u8>)) -> RotationOutcome {
    outcome
}

fn stamp_of(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

impl<'a> Fixture<'a> {
    /// Creates a session with stamp 0.
    pub async fn create(connections: &'a Connections, grace: u64) -> Self {
        let id = || Uuid::from_bytes(Random::system().bytes());
        let (session, first_jti) = (SessionId { user_id: id(), sid: id() }, id());
        let new = NewSession {
            id: session,
            digests: &refresh_digests(first_jti),
            stamp: stamp_of(0),
            lifetime: LIFETIME,
            ip: [127, 0, 0, 1].into(),
            user_agent: "",
        };
        sessions::create(&connections.redis, &new, 50).await.expect("a session");
        let fixture = Self { connections, id: session, first_jti, grace: Duration::from_secs(grace) };
        // Without a pending stamp the model would need a special case.
        assert!(fixture.set_password_stamp(StampState::Pending, 0).await);
        fixture
    }

    pub fn redis(&self) -> &Redis {
        &self.connections.redis
    }

    fn jti(&self, token: usize) -> Uuid {
        (0..token).fold(self.first_jti, |jti, _| successor_jti(jti))
    }

    async fn rotate(&self, redis: &Redis, token: usize, stamp: u128) -> Result<RotationOutcome, StoreError> {
        let (digests, next_access_jti) = (&refresh_digests(self.jti(token)), access_jti(self.jti(token + 1)));
        let presented = PresentedToken { session: self.id, digests, next_access_jti, stamp: stamp_of(stamp) };
        sessions::rotate(redis, presented, LIFETIME, None, self.grace).await
    }

    /// Uses the access token that was issued with a refresh token.
    pub async fn use_access(&self, token: usize) {
        sessions::record_use(self.redis(), self.id, access_jti(self.jti(token))).await.expect("a reply");
    }

    /// Presents a token: the outcome, and the session in Redis before it.
    pub async fn present(&self, token: usize, stamp: u128) -> (RotationOutcome, Vec<u8>) {
        let before = self.dump().await;
        (self.rotate(self.redis(), token, stamp).await.expect("an outcome"), before)
    }

    /// Presents a token in a script that is executed past its deadline and fails.
    pub async fn present_late(&self, token: usize, stamp: u128) {
        let outcome = self.rotate(&self.connections.late, token, stamp).await;
        assert!(matches!(&outcome, Err(StoreError::Redis(error)) if error.code() == Some("LATE")), "{outcome:?}");
    }

    /// The same at a replica of the previous release, whose clock is accurate.
    pub async fn present_to_previous_release(
        &self,
        token: usize,
        stamp: u128,
        grace: u64,
    ) -> (RotationOutcome, Vec<u8>) {
        let before = self.dump().await;
        let (now, _): (u64, u64) = self.query(&redis::cmd("TIME")).await;
        let [digest, successor] = refresh_digests(self.jti(token));
        let mut call = self.connections.previous_release.key(self.id.key());
        call.key(format!("sessions:{{{}}}", self.id.user_id))
            .arg(digest)
            .arg(successor)
            .arg(stamp_of(stamp).to_string())
            .arg(now)
            .arg(LIFETIME.as_secs())
            .arg(grace)
            .arg(self.id.sid.to_string());
        let rotated: i64 = call.invoke_async(&mut self.redis().clone()).await.expect("an outcome");
        let outcome = match rotated {
            -1 => RotationOutcome::SessionNotFound,
            -2 => RotationOutcome::PasswordChanged,
            -3 => RotationOutcome::ReuseDetected,
            issued_at => RotationOutcome::Rotated { issued_at: issued_at.try_into().unwrap(), now, created_at: 0 },
        };
        (outcome, before)
    }

    pub async fn set_password_stamp(&self, when: StampState, stamp: u128) -> bool {
        sessions::set_password_stamp(self.redis(), self.id, when, stamp_of(stamp)).await.expect("an outcome")
    }

    pub async fn set_stamps(&self, stamp: u128, announced: u128) {
        assert!(
            self.set_password_stamp(StampState::Pending, announced).await
                && self.set_password_stamp(StampState::Committed, stamp).await
        );
    }

    pub async fn set_rotated_at(&self, rotated_at: Option<u64>) {
        if let Some(rotated_at) = rotated_at {
            self.run(redis::cmd("HSET").arg(self.id.key()).arg("rotated_at").arg(rotated_at)).await;
        }
    }

    pub async fn move_rotated_at_back(&self, seconds: u64) {
        let rotated_at: Option<u64> = self.query(redis::cmd("HGET").arg(self.id.key()).arg("rotated_at")).await;
        self.set_rotated_at(rotated_at.map(|at| at - seconds)).await;
    }

    /// The serialized session; empty if there is none.
    pub async fn dump(&self) -> Vec<u8> {
        self.query::<Option<Vec<u8>>>(redis::cmd("DUMP").arg(self.id.key())).await.unwrap_or_default()
    }

    pub async fn restore(&self, dump: &[u8]) {
        self.run(redis::cmd("RESTORE").arg(self.id.key()).arg(0).arg(dump).arg("REPLACE")).await;
    }

    pub async fn expire(&self) {
        self.run(redis::cmd("DEL").arg(self.id.key())).await;
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        command.query_async(&mut self.redis().clone()).await.expect("a reply")
    }

    async fn run(&self, command: &redis::Cmd) {
        command.exec_async(&mut self.redis().clone()).await.expect("a reply");
    }
}
