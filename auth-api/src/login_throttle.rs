//! The login throttle: limits of failed logins.
//!
//! Two sliding windows in Redis: per (account, address), so that a password can't be guessed, while the account's owner still
//! signs in from another address; and per address, so that one password can't be tried on many accounts. Only failures count.
//!
//! An attempt is reserved before its password is checked. While the attempts in flight could fill a window by failing,
//! further ones wait: they may be valid. So concurrent logins with the right password all succeed, and of concurrent guesses
//! no more are hashed than may fail.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use shared::random::Random;
use shared::worker_pool::Overload;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::error::Error;
use crate::ids::new_uuid;
use crate::redis_client::Redis;
use crate::store::StoreError;
use crate::store::login_failures::{self, AttemptOutcome, RateLimitKey, Reservation};

/// Limits of failed and of waiting logins.
#[derive(Clone, Debug)]
pub struct ThrottleConfig {
    /// Failures of one account from one address within the window.
    pub failures_per_account: u32,
    /// Failures from one address within the window.
    pub failures_per_address: u32,
    pub window: Duration,
    /// Limit of waiting attempts.
    pub waiting_max: usize,
    pub waiting_timeout: Duration,
    /// TTL of a reservation, longer than any check of a password: it only expires if its replica has crashed.
    pub reservation_ttl: Duration,
}

/// Reserves login attempts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoginThrottle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Redis,
    random: Random,
    config: ThrottleConfig,
    waiting: Semaphore,
    /// Waiters queue per shard of keys; only the head of a shard polls Redis.
    shards: Vec<Semaphore>,
}

/// Number of shards; the waiters of two keys in one shard wait for each other.
const WAITER_SHARDS: usize = 64;

/// Pause between two polls of a shard's head.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

impl LoginThrottle {
    /// Creates a throttle with its windows in `redis`.
    pub fn new(redis: Redis, random: Random, config: ThrottleConfig) -> Self {
        let waiting = Semaphore::new(config.waiting_max.min(Semaphore::MAX_PERMITS));
        let shards = (0..WAITER_SHARDS).map(|_| Semaphore::new(1)).collect();
        Self(Arc::new(Inner { redis, random, config, waiting, shards }))
    }

    /// Acquires a login attempt for `account` (the canonical form of an address, or any text), at once or after the attempts
    /// in flight. Fails with [`Error::Throttled`] after too many failures.
    pub async fn acquire(&self, account: &str, address: IpAddr) -> Result<LoginAttempt, Error> {
        let shard = match self.reserve(account, address).await? {
            Reserved::Acquired(attempt) => return Ok(attempt),
            Reserved::Saturated { shard } => shard,
        };
        let _waiting = self.0.waiting.try_acquire().map_err(|_| Error::Busy(Overload::QueueFull))?;
        let wait = async {
            let _turn = match self.0.shards.get(shard) {
                Some(shard) => shard.acquire().await.ok(),
                None => None,
            };
            loop {
                if let Reserved::Acquired(attempt) = self.reserve(account, address).await? {
                    return Ok(attempt);
                }
                sleep(POLL_INTERVAL).await;
            }
        };
        timeout(self.0.config.waiting_timeout, wait).await.unwrap_or(Err(Error::Busy(Overload::WaitedTooLong)))
    }

    async fn reserve(&self, account: &str, address: IpAddr) -> Result<Reserved, Error> {
        let Inner { redis, random, config, .. } = &*self.0;
        let keys @ [account_and_ip, ip] = &keys(account, address, config);
        let id = new_uuid(random);
        // Created first: dropping this future while Redis responds must release the reservations.
        let mut attempt = LoginAttempt { throttle: self.clone(), id, keys: keys.clone().map(Some) };
        let reservations = tokio::join!(
            login_failures::reserve(redis, account_and_ip, id, config.reservation_ttl),
            login_failures::reserve(redis, ip, id, config.reservation_ttl)
        );
        let reservations = [reservations.0?, reservations.1?];
        if reservations == [Reservation::Acquired; 2] {
            return Ok(Reserved::Acquired(attempt));
        }
        for (key, reservation) in attempt.keys.iter_mut().zip(reservations) {
            key.take_if(|_| reservation != Reservation::Acquired);
        }
        attempt.release().await?;
        let [on_account, on_ip] = reservations;
        match locked_out(on_account).max(locked_out(on_ip)) {
            Some(retry_after) => Err(Error::Throttled { retry_after }),
            None if on_account == Reservation::Saturated => Ok(Reserved::Saturated { shard: shard(account_and_ip) }),
            None => Ok(Reserved::Saturated { shard: shard(ip) }),
        }
    }
}

enum Reserved {
    Acquired(LoginAttempt),
    Saturated { shard: usize },
}

/// A reserved login attempt. Dropping it without reporting an outcome releases the reservation.
#[derive(Debug)]
#[must_use]
pub struct LoginAttempt {
    throttle: LoginThrottle,
    id: Uuid,
    /// The keys with a reservation, of account and address and of the address.
    keys: [Option<RateLimitKey>; 2],
}

impl LoginAttempt {
    /// Counts a failure. Must be awaited before the response.
    pub async fn failed(self) -> Result<(), StoreError> {
        self.report([AttemptOutcome::Failed; 2]).await
    }

    /// Clears the failures of the account from this address. Those of the address stay: otherwise an attacker with an own
    /// account could clear them.
    pub async fn succeeded(self) -> Result<(), StoreError> {
        self.report([AttemptOutcome::Succeeded, AttemptOutcome::Released]).await
    }

    async fn release(self) -> Result<(), StoreError> {
        self.report([AttemptOutcome::Released; 2]).await
    }

    async fn report(mut self, outcomes: [AttemptOutcome; 2]) -> Result<(), StoreError> {
        report(&self.throttle, self.id, &self.keys, outcomes).await?;
        self.keys = [None, None];
        Ok(())
    }
}

async fn report(
    LoginThrottle(throttle): &LoginThrottle,
    id: Uuid,
    [account_and_ip, ip]: &[Option<RateLimitKey>; 2],
    [on_account, on_ip]: [AttemptOutcome; 2],
) -> Result<(), StoreError> {
    let report = async |key: &Option<RateLimitKey>, outcome| {
        let Some(key) = key else { return Ok(()) };
        login_failures::report(&throttle.redis, key, id, outcome, throttle.config.window).await
    };
    let (account_and_ip, ip) = tokio::join!(report(account_and_ip, on_account), report(ip, on_ip));
    account_and_ip.and(ip)
}

impl Drop for LoginAttempt {
    fn drop(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        // Without a runtime the process is about to end, and the reservation expires.
        let (true, Ok(runtime)) = (keys.iter().any(Option::is_some), Handle::try_current()) else { return };
        let (throttle, id) = (self.throttle.clone(), self.id);
        runtime.spawn(async move {
            if let Err(error) = report(&throttle, id, &keys, [AttemptOutcome::Released; 2]).await {
                tracing::debug!(%error, "release of a login attempt failed; its reservation will expire");
            }
        });
    }
}

fn locked_out(reservation: Reservation) -> Option<Duration> {
    if let Reservation::LockedOut(wait) = reservation { Some(wait) } else { None }
}

fn shard(key: &RateLimitKey) -> usize {
    let mut hasher = DefaultHasher::new();
    key.name.hash(&mut hasher);
    usize::try_from(hasher.finish() % WAITER_SHARDS as u64).unwrap_or_default()
}

fn keys(account: &str, address: IpAddr, config: &ThrottleConfig) -> [RateLimitKey; 2] {
    let (digest, network) = (hex::encode(Sha256::digest(account)), network(address));
    let account_and_ip =
        RateLimitKey { name: format!("{digest}:{network}"), failures_max: config.failures_per_account };
    [account_and_ip, RateLimitKey { name: network, failures_max: config.failures_per_address }]
}

/// Returns the unit of limits by address: an IPv4 address, or the /64 of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_is_limited_by_network_and_mapped_ipv4_by_address() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected);
        }
    }
}
