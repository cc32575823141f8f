//! `POST refresh`: a refresh token, once, for its successor. Each connection has sessions of its own, and shows a session's
//! token when it has the answer to the one before.

use std::time::Duration;

use auth_api::store::redis_link::Redis;
use auth_api::store::sessions::{self, PresentedToken, RotationOutcome};
use auth_api::tokens::refresh_digests;

use crate::bench::Bench;
use crate::chain::{Chain, drive};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::population::{self, Which};
use crate::row::{Measure, Pair, Reach, Row, Side, Unit};
use crate::wire::Wire;
use crate::wrk;

/// auth-api itself.
pub const REFRESH: Row = Row {
    name: "refresh",
    what: "POST refresh on auth-api, 64 connections : the same Redis script called bare over as many connections",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: Reach::AtLeast(0.50),
        pair: |bench| Ok(Pair { ours: refreshes(bench, bench.large()?)?, limit: rotations(bench, bench.large()?)? }),
    },
};

const CONNECTIONS: u32 = 64;

/// Of each connection.
const SESSIONS: u32 = 16;

/// The users of a connection's sessions.
fn users(deployment: &Deployment, connection: u32) -> impl Iterator<Item = u32> {
    let all = (CONNECTIONS * SESSIONS).min(deployment.size.users);
    let size = deployment.size;
    size.spread(all).skip(connection as usize).step_by(CONNECTIONS as usize)
}

/// The side that refreshes through auth-api itself.
pub(super) fn refreshes<'a>(bench: &'a Bench, deployment: &Deployment) -> Result<Side<'a>, Error> {
    let base = deployment.stack()?.env().auth_api.clone();
    let mut chains = bench.runtime.block_on(async {
        let redis = deployment.redis()?;
        let mut chains = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut tokens = Vec::new();
            for user in users(deployment, connection) {
                tokens.push(deployment.make_session(&redis, user, Which::Refreshed).await?);
            }
            chains.push(Refreshes { wire: Wire::connect(&base).await?, tokens, at: 0 });
        }
        Ok::<_, Error>(chains)
    })?;
    Ok(Box::new(move |time| bench.runtime.block_on(drive(&mut chains, time))))
}

/// A connection to auth-api.
struct Refreshes {
    wire: Wire,
    tokens: Vec<String>,
    at: usize,
}

impl Chain for Refreshes {
    async fn next(&mut self) -> Result<bool, Error> {
        self.at = (self.at + 1) % self.tokens.len();
        let Some(token) = self.tokens.get_mut(self.at) else { return Ok(false) };
        let request = wrk::post("/api/user/refresh/", &format!(r#"{{"refresh":"{token}"}}"#));
        let Some(answer) = self.wire.ask(&request).await? else { return Ok(false) };
        *token = refresh_of(answer).ok_or_else(|| Error::Client("refresh answers without a token".to_owned()))?;
        Ok(true)
    }
}

/// The value of `refresh`, found and not parsed: the client's work is in ours, and none of it is in the limit.
fn refresh_of(body: &str) -> Option<String> {
    let (_, rest) = body.split_once(r#""refresh":""#)?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The side that calls the script, through auth-api's own function and nothing else of it.
fn rotations<'a>(bench: &'a Bench, deployment: &'a Deployment) -> Result<Side<'a>, Error> {
    let mut chains = bench.runtime.block_on(async {
        let mut chains = Vec::new();
        for connection in 0..CONNECTIONS {
            let redis = deployment.redis()?;
            let mut tokens = Vec::new();
            for user in users(deployment, connection) {
                deployment.make_session(&redis, user, Which::Rotated).await?;
                tokens.push((user, refresh_digests(population::first_jti(user, Which::Rotated))));
            }
            let lifetime = deployment.config.tokens.refresh_lifetime;
            let grace = deployment.config.refresh_grace;
            chains.push(Rotations { redis, tokens, lifetime, grace, count: 0 });
        }
        Ok::<_, Error>(chains)
    })?;
    Ok(Box::new(move |time| bench.runtime.block_on(drive(&mut chains, time))))
}

/// A connection to Redis.
struct Rotations {
    redis: Redis,
    /// Each user's current token and the two that follow it.
    tokens: Vec<(u32, [String; 3])>,
    lifetime: Duration,
    grace: Duration,
    count: usize,
}

impl Chain for Rotations {
    async fn next(&mut self) -> Result<bool, Error> {
        self.count += 1;
        let at = self.count % self.tokens.len();
        let Some((user, digests)) = self.tokens.get_mut(at) else { return Ok(false) };
        let session = population::session(*user, Which::Rotated);
        let presented = PresentedToken { session, digests, stamp: population::stamp(*user) };
        let outcome = sessions::rotate(&self.redis, presented, self.lifetime, self.grace).await?;
        // Any digest will do, and none has to be computed.
        digests.rotate_left(1);
        let [.., last] = digests;
        *last = format!("{:064x}", self.count);
        Ok(matches!(outcome, RotationOutcome::Rotated { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_token_is_found() {
        assert_eq!(refresh_of(r#"{"refresh":"a.b.c","access":"d"}"#).as_deref(), Some("a.b.c"));
        assert_eq!(refresh_of(r#"{"detail":"no"}"#), None);
    }
}
