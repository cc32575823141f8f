//! Settings of password hashing and of rate limits.

use std::time::Duration;

use shared::settings::{SettingError, Settings};
use shared::worker_pool::WorkersConfig;

use crate::hashing::HashingConfig;
use crate::login_throttle::ThrottleConfig;
use crate::request_limits::RequestLimitsConfig;

pub(super) fn hashing(settings: &mut Settings) -> Result<HashingConfig, SettingError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(HashingConfig {
        memory_kib: settings.number(
            "ARGON2_MEMORY_KIB",
            19_456,
            8..=4_194_304,
            "KiB",
            "memory of a hash; if it is raised, hashes are upgraded at the next login (OWASP Password Storage Cheat Sheet)",
        )?,
        passes: settings.number("ARGON2_PASSES", 2, 1..=1000, "passes", "iterations of a hash")?,
        lanes: settings.number("ARGON2_LANES", 1, 1..=64, "lanes", "parallelism of a hash")?,
        workers: WorkersConfig {
            threads: settings.number(
            "HASHING_THREADS",
            cores,
            1..=1024,
            "threads",
            "concurrent hashes, which bounds cores and memory (default: the number of cores)",
        )?,
        queue_max: settings.number(
            "HASHING_QUEUE_MAX",
            1024,
            1..=1_000_000,
            "requests",
            "limit of requests waiting for a hash; above it the response is 503 at once",
        )?,
        queue_timeout: settings.seconds(
            "HASHING_QUEUE_TIMEOUT_SECONDS",
            10,
            1..=600,
            "timeout of waiting for a hash; above it the response is 503",
        )?,
        },
    })
}

pub(super) fn request_limits(settings: &mut Settings) -> Result<RequestLimitsConfig, SettingError> {
    Ok(RequestLimitsConfig {
        registrations_per_address: settings.number(
            "REGISTRATIONS_PER_ADDRESS",
            100,
            0..=1_000_000,
            "requests",
            "registrations and changes of the e-mail address per hour and client address (IPv6: /64); above it the response is 429; 0: no limit",
        )?,
        email_checks_per_account: settings.number(
            "EMAIL_CHECKS_PER_ACCOUNT",
            10,
            0..=1_000_000,
            "requests",
            "changes of the e-mail address per hour and account, rejected ones included; above it the response is 429; 0: no limit",
        )?,
    })
}

/// Upper bound of the time of a hash.
const HASH_MAX: Duration = Duration::from_secs(10);

/// OWASP ASVS 2.2.1 allows 100 failures per hour and account, NIST SP 800-63B 100 in a row. The default of 10 in 15 minutes is
/// well below, and more than a user mistypes.
pub(super) fn throttle(
    settings: &mut Settings,
    hashing: &WorkersConfig,
    store_timeout: Duration,
) -> Result<ThrottleConfig, SettingError> {
    Ok(ThrottleConfig {
        failures_per_account: settings.number(
            "LOGIN_FAILURES_PER_ACCOUNT",
            10,
            1..=100_000,
            "failures",
            "failed logins of one account from one address (IPv6: /64) within the window; above it the response is 429",
        )?,
        failures_per_address: settings.number(
            "LOGIN_FAILURES_PER_ADDRESS",
            100,
            1..=100_000,
            "failures",
            "failed logins from one address within the window, for all accounts",
        )?,
        window: settings.seconds(
            "LOGIN_FAILURES_WINDOW_SECONDS",
            900,
            1..=86_400,
            "time that a failed login counts",
        )?,
        waiting_max: hashing.queue_max,
        waiting_timeout: hashing.queue_timeout,
        reservation_ttl: hashing.queue_timeout + store_timeout * 2 + HASH_MAX,
    })
}
