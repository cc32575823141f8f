//! `POST refresh`, which rotates a refresh token. Each connection has its own sessions and sends a session's token after it
//! has received it in the previous response.

use std::time::Duration;

use auth_api::redis_client::Redis;
use auth_api::store::sessions::{self, PresentedToken, RotationOutcome};
use auth_api::tokens::refresh_digests;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::closed_loop::{ClosedLoop, drive};
use crate::harness::deployment::Deployment;
use crate::harness::population::{self, SessionKind};
use crate::harness::raw_client::RawClient;
use crate::harness::row::{Measure, Pair, Row, Side, Target, Unit};
use crate::harness::wrk;

/// On auth-api, without nginx.
pub const REFRESH: Row = Row {
    name: "refresh",
    what: "POST refresh on auth-api, 64 connections : the same Redis script called directly over as many connections",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: Target::AtLeast(0.50),
        pair: |bench| {
            Ok(Pair { candidate: refreshes(bench, bench.large()?)?, baseline: rotations(bench, bench.large()?)? })
        },
    },
};

const CONNECTIONS: u32 = 64;

/// Sessions of each connection.
const SESSIONS: u32 = 16;

/// Returns the users of a connection's sessions.
fn users(deployment: &Deployment, connection: u32) -> impl Iterator<Item = u32> {
    let all = (CONNECTIONS * SESSIONS).min(deployment.size.users);
    let size = deployment.size;
    size.spread(all).skip(connection as usize).step_by(CONNECTIONS as usize)
}

/// Returns the side that refreshes through auth-api.
pub(super) fn refreshes<'a>(bench: &'a Bench, deployment: &Deployment) -> Result<Side<'a>, Error> {
    let base = deployment.stack()?.env().auth_api.clone();
    let mut clients = bench.runtime.block_on(async {
        let redis = deployment.redis()?;
        let mut clients = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut tokens = Vec::new();
            for user in users(deployment, connection) {
                tokens.push(deployment.make_session(&redis, user, SessionKind::Refreshed).await?);
            }
            clients.push(Refreshes { client: RawClient::connect(&base).await?, tokens, at: 0 });
        }
        Ok::<_, Error>(clients)
    })?;
    Ok(Box::new(move |time| bench.runtime.block_on(drive(&mut clients, time))))
}

/// A connection to auth-api.
struct Refreshes {
    client: RawClient,
    tokens: Vec<String>,
    at: usize,
}

impl ClosedLoop for Refreshes {
    async fn next(&mut self) -> Result<bool, Error> {
        self.at = (self.at + 1) % self.tokens.len();
        let Some(token) = self.tokens.get_mut(self.at) else { return Ok(false) };
        let request = wrk::post("/api/user/refresh/", &format!(r#"{{"refresh":"{token}"}}"#));
        let Some(response) = self.client.send(&request).await? else { return Ok(false) };
        *token =
            refresh_of(response).ok_or_else(|| Error::Client("the response of refresh has no token".to_owned()))?;
        Ok(true)
    }
}

/// Finds the value of `refresh` without parsing: the candidate's time includes the client's work, the baseline's does not.
fn refresh_of(body: &str) -> Option<String> {
    let (_, rest) = body.split_once(r#""refresh":""#)?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Returns the side that calls the rotation script through auth-api's function, without the rest of auth-api.
fn rotations<'a>(bench: &'a Bench, deployment: &'a Deployment) -> Result<Side<'a>, Error> {
    let mut clients = bench.runtime.block_on(async {
        let mut clients = Vec::new();
        for connection in 0..CONNECTIONS {
            let redis = deployment.redis()?;
            let mut tokens = Vec::new();
            for user in users(deployment, connection) {
                deployment.make_session(&redis, user, SessionKind::Rotated).await?;
                tokens.push((user, refresh_digests(population::first_jti(user, SessionKind::Rotated))));
            }
            let lifetime = deployment.config.tokens.refresh_lifetime;
            let grace = deployment.config.refresh_grace;
            clients.push(Rotations { redis, tokens, lifetime, grace, count: 0 });
        }
        Ok::<_, Error>(clients)
    })?;
    Ok(Box::new(move |time| bench.runtime.block_on(drive(&mut clients, time))))
}

/// A connection to Redis.
struct Rotations {
    redis: Redis,
    /// Digests of each user's current token and its two successors.
    tokens: Vec<(u32, [String; 3])>,
    lifetime: Duration,
    grace: Duration,
    count: usize,
}

impl ClosedLoop for Rotations {
    async fn next(&mut self) -> Result<bool, Error> {
        self.count += 1;
        let at = self.count % self.tokens.len();
        let Some((user, digests)) = self.tokens.get_mut(at) else { return Ok(false) };
        let session = population::session(*user, SessionKind::Rotated);
        let (next_access_jti, stamp) = (session.sid, population::stamp(*user));
        let presented = PresentedToken { session, digests, next_access_jti, stamp };
        let outcome = sessions::rotate(&self.redis, presented, self.lifetime, None, self.grace).await?;
        // Any distinct digest will do; computing a real one would cost the baseline time.
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
    fn the_refresh_token_is_found_in_a_response() {
        assert_eq!(refresh_of(r#"{"refresh":"a.b.c","access":"d"}"#).as_deref(), Some("a.b.c"));
        assert_eq!(refresh_of(r#"{"detail":"no"}"#), None);
    }
}
