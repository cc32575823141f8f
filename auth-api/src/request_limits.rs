//! Rate limits of requests that create accounts or reveal whether an address has one.
//!
//! Each request counts before the lookup and the hash, with any response, so that neither a list of addresses can be probed
//! nor accounts created in bulk (OWASP Authentication Cheat Sheet; OWASP API4:2023).

use std::net::IpAddr;
use std::time::Duration;

use shared::random::Random;
use uuid::Uuid;

use crate::error::Error;
use crate::ids::new_uuid;
use crate::login_throttle::network;
use crate::redis_client::Redis;
use crate::store::rate_limit::{self, RateLimit};

/// Limits in requests per hour; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimitsConfig {
    /// Registrations and changes of the e-mail address per client address (IPv6: per /64).
    pub registrations_per_address: u32,
    /// Changes of the e-mail address per account.
    pub email_checks_per_account: u32,
}

/// Window of each limit.
const WINDOW: Duration = Duration::from_hours(1);

/// Counts requests in Redis. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    redis: Redis,
    random: Random,
    config: RequestLimitsConfig,
}

impl RequestLimits {
    /// Creates limits with their windows in `redis`.
    pub fn new(redis: Redis, random: Random, config: RequestLimitsConfig) -> Self {
        Self { redis, random, config }
    }

    /// Counts a registration from this address; fails with [`Error::Throttled`] above the limit.
    pub async fn count_registration(&self, ip: IpAddr) -> Result<(), Error> {
        self.count("registrations", self.config.registrations_per_address, &network(ip)).await
    }

    /// Counts a change of the e-mail address; fails with [`Error::Throttled`] above the limit of the account or of the address.
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
            Some(retry_after) => Err(Error::Throttled { retry_after }),
            None => Ok(()),
        }
    }
}
