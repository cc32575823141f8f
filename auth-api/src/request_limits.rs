//! Limits of requests that show whether an address has an account, and that create accounts.
//!
//! Each is counted before the look-up and the hash, whatever its response, so that neither a list of addresses can be
//! probed nor accounts made in bulk (OWASP Authentication Cheat Sheet; OWASP API4:2023).

use std::net::IpAddr;
use std::time::Duration;

use shared::random::Random;
use uuid::Uuid;

use crate::error::Error;
use crate::new_uuid;
use crate::redis_client::Redis;
use crate::store::rate_limit::{self, RateLimit};
use crate::throttle::network;

/// Requests an hour; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimitsConfig {
    /// Registrations and changes of address, by client address (IPv6: by /64).
    pub registrations_per_address: u32,
    /// Changes of address, by account.
    pub email_checks_per_account: u32,
}

/// The window of each limit.
const WINDOW: Duration = Duration::from_hours(1);

/// Counts requests in Redis. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    redis: Redis,
    random: Random,
    config: RequestLimitsConfig,
}

impl RequestLimits {
    /// Counts in `redis`.
    pub fn new(redis: Redis, random: Random, config: RequestLimitsConfig) -> Self {
        Self { redis, random, config }
    }

    /// Counts a registration from this address; [`Error::Throttled`] past the limit.
    pub async fn count_registration(&self, ip: IpAddr) -> Result<(), Error> {
        self.count("registrations", self.config.registrations_per_address, &network(ip)).await
    }

    /// Counts a change of address of a user; [`Error::Throttled`] past the limit of the account or of the client address.
    pub async fn count_email_check(&self, user_id: Uuid, ip: IpAddr) -> Result<(), Error> {
        self.count("email-checks", self.config.email_checks_per_account, &user_id.to_string()).await?;
        self.count_registration(ip).await
    }

    async fn count(&self, name: &'static str, requests_max: u32, subject: &str) -> Result<(), Error> {
        if requests_max == 0 {
            return Ok(());
        }
        let limit = RateLimit { name, requests_max, window: WINDOW };
        match rate_limit::count(&self.redis, limit, subject, new_uuid(&self.random)).await? {
            Some(wait) => Err(Error::Throttled { wait }),
            None => Ok(()),
        }
    }
}
