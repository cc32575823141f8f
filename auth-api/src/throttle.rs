//! Failed logins: how many passwords may be tried.
//!
//! Two counts, both in Redis: of an account from an address, so that nobody guesses a password, and nobody who guesses
//! locks the account's owner out behind another address; and of an address, so that nobody tries one password on many
//! accounts. Only failures count, each for the whole of a window.
//!
//! A try is counted before its password is looked at: among the tries that are being checked. Where these might fill a
//! count all by themselves the next one waits for them, since they may be right: many who sign in at once with the right
//! password are all let in, and of many who guess at once no more are hashed than may fail.

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
use crate::new_uuid;
use crate::redis_client::Redis;
use crate::store::StoreError;
use crate::store::login_failures::{self, AttemptOutcome, RateLimitKey, Reservation};

/// How many tries may fail, and how many may wait.
#[derive(Clone, Debug)]
pub struct ThrottleConfig {
    /// Tries of one account from one address that may fail within the window.
    pub failures_per_account: u32,
    /// Tries of whatever accounts from one address that may.
    pub failures_per_address: u32,
    /// How long a failure counts.
    pub window: Duration,
    /// Tries that may wait for others to be checked.
    pub waiting_max: usize,
    /// How long one may wait.
    pub waiting_timeout: Duration,
    /// The longest that a try is checked. It is given back then, as the replica that checked it must be gone.
    pub held: Duration,
}

/// Counts tries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Redis,
    random: Random,
    config: ThrottleConfig,
    waiting: Semaphore,
    /// Who waits stands in the line of what they wait for, and only the first of it asks Redis.
    lines: Vec<Semaphore>,
}

/// Lines: two subjects may share one, and then wait for each other.
const LINES: usize = 64;

/// How long the first of a line waits before it asks again.
const PAUSE: Duration = Duration::from_millis(10);

impl Throttle {
    /// Counts in `redis`.
    pub fn new(redis: Redis, random: Random, config: ThrottleConfig) -> Self {
        let waiting = Semaphore::new(config.waiting_max.min(Semaphore::MAX_PERMITS));
        let lines = (0..LINES).map(|_| Semaphore::new(1)).collect();
        Self(Arc::new(Inner { redis, random, config, waiting, lines }))
    }

    /// Acquires a login attempt for `account` (an e-mail address in its canonical form, whether it has an account or not, or a
    /// text that is no address), at once or when the attempts before it have been checked.
    pub async fn acquire(&self, account: &str, address: IpAddr) -> Result<Try, Error> {
        let full = match self.reserve(account, address).await? {
            Reserved::Taken(taken) => return Ok(taken),
            Reserved::Full(full) => full,
        };
        let _place = self.0.waiting.try_acquire().map_err(|_| Error::Busy(Overload::QueueFull))?;
        let wait = async {
            let _turn = match self.0.lines.get(full) {
                Some(line) => line.acquire().await.ok(),
                None => None,
            };
            loop {
                if let Reserved::Taken(taken) = self.reserve(account, address).await? {
                    return Ok(taken);
                }
                sleep(PAUSE).await;
            }
        };
        timeout(self.0.config.waiting_timeout, wait).await.unwrap_or(Err(Error::Busy(Overload::WaitedTooLong)))
    }

    async fn reserve(&self, account: &str, address: IpAddr) -> Result<Reserved, Error> {
        let Inner { redis, random, config, .. } = &*self.0;
        let (pair, address) = subjects(account, address, config);
        let id = new_uuid(random);
        // From here on: whoever hangs up gives back what may have been taken.
        let mut taken = Try { throttle: self.clone(), id, pair: Some(pair.clone()), address: Some(address.clone()) };
        let (of_pair, of_address) = tokio::join!(
            login_failures::reserve(redis, &pair, id, config.held),
            login_failures::reserve(redis, &address, id, config.held)
        );
        let (of_pair, of_address) = (of_pair?, of_address?);
        taken.pair.take_if(|_| of_pair != Reservation::Acquired);
        taken.address.take_if(|_| of_address != Reservation::Acquired);
        if (of_pair, of_address) == (Reservation::Acquired, Reservation::Acquired) {
            return Ok(Reserved::Taken(taken));
        }
        taken.give_back().await?;
        match wait(of_pair).max(wait(of_address)) {
            Some(wait) => Err(Error::Throttled { wait }),
            None => Ok(Reserved::Full(line(if of_pair == Reservation::Saturated { &pair } else { &address }))),
        }
    }
}

enum Reserved {
    Taken(Try),
    /// The number of the line to wait in.
    Full(usize),
}

/// A try that was let in. Dropped without a word it is given back: nobody was told whether the password is right.
#[derive(Debug)]
#[must_use]
pub struct Try {
    throttle: Throttle,
    id: Uuid,
    pair: Option<RateLimitKey>,
    address: Option<RateLimitKey>,
}

impl Try {
    /// The password was wrong. Only when this is counted may anybody be told.
    pub async fn failed(self) -> Result<(), StoreError> {
        self.settle(AttemptOutcome::Failed, AttemptOutcome::Failed).await
    }

    /// It was right: the account's failures from this address are forgotten. The address's are not, or whoever has an
    /// account of their own could guess on for ever.
    pub async fn succeeded(self) -> Result<(), StoreError> {
        self.settle(AttemptOutcome::Succeeded, AttemptOutcome::Released).await
    }

    async fn give_back(self) -> Result<(), StoreError> {
        self.settle(AttemptOutcome::Released, AttemptOutcome::Released).await
    }

    async fn settle(mut self, of_pair: AttemptOutcome, of_address: AttemptOutcome) -> Result<(), StoreError> {
        let done = tokio::join!(self.tell(self.pair.as_ref(), of_pair), self.tell(self.address.as_ref(), of_address));
        done.0.and(done.1)?;
        (self.pair, self.address) = (None, None);
        Ok(())
    }

    async fn tell(&self, subject: Option<&RateLimitKey>, outcome: AttemptOutcome) -> Result<(), StoreError> {
        let Some(subject) = subject else { return Ok(()) };
        login_failures::report(&self.throttle.0.redis, subject, self.id, outcome, self.throttle.0.config.window).await
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let (pair, address) = (self.pair.take(), self.address.take());
        if pair.is_none() && address.is_none() {
            return;
        }
        let left = Self { throttle: self.throttle.clone(), id: self.id, pair: None, address: None };
        // Without a runtime the process is about to end, and the try is given back by itself.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let given = tokio::join!(
                left.tell(pair.as_ref(), AttemptOutcome::Released),
                left.tell(address.as_ref(), AttemptOutcome::Released)
            );
            if let Err(error) = given.0.and(given.1) {
                tracing::debug!(%error, "a try of a password is not given back; it will be by itself");
            }
        });
    }
}

fn wait(reservation: Reservation) -> Option<Duration> {
    if let Reservation::LockedOut(wait) = reservation { Some(wait) } else { None }
}

fn line(subject: &RateLimitKey) -> usize {
    let mut hasher = DefaultHasher::new();
    subject.name.hash(&mut hasher);
    usize::try_from(hasher.finish() % LINES as u64).unwrap_or_default()
}

fn subjects(account: &str, address: IpAddr, config: &ThrottleConfig) -> (RateLimitKey, RateLimitKey) {
    let (digest, network) = (hex::encode(Sha256::digest(account)), network(address));
    let pair = RateLimitKey { name: format!("{digest}:{network}"), failures_max: config.failures_per_account };
    (pair, RateLimitKey { name: network, failures_max: config.failures_per_address })
}

/// The unit that requests are counted by: an IPv4 address, or the /64 of an IPv6 address.
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
    fn an_ipv6_address_is_its_network_and_a_mapped_one_is_ipv4() {
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
