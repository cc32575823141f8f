//! What a hash costs, and how many passwords may be tried.

use std::time::Duration;

use shared::settings::{SettingError, Settings};
use shared::worker_pool::WorkersConfig;

use crate::hashing::HashingConfig;
use crate::request_limits::RequestLimitsConfig;
use crate::throttle::ThrottleConfig;

pub(super) fn hashing(settings: &mut Settings) -> Result<HashingConfig, SettingError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(HashingConfig {
        memory_kib: settings.number(
            "ARGON2_MEMORY_KIB",
            19_456,
            8..=4_194_304,
            "KiB",
            "memory of one hash; raised, passwords are hashed anew as people sign in (OWASP Password Storage Cheat Sheet)",
        )?,
        passes: settings.number("ARGON2_PASSES", 2, 1..=1000, "passes", "passes over that memory")?,
        lanes: settings.number("ARGON2_LANES", 1, 1..=64, "lanes", "lanes of one hash")?,
        workers: WorkersConfig {
            threads: settings.number(
            "HASHING_THREADS",
            cores,
            1..=1024,
            "threads",
            "hashes computed at once: cores and memory are bounded by it (default: the number of cores)",
        )?,
        queue_max: settings.number(
            "HASHING_QUEUE_MAX",
            1024,
            1..=1_000_000,
            "requests",
            "requests that may wait for a hash; past it the answer is 503 at once",
        )?,
        queue_timeout: settings.seconds(
            "HASHING_QUEUE_TIMEOUT_SECONDS",
            10,
            1..=600,
            "how long a request may wait for a hash; past it the answer is 503",
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
            "registrations and changes of e-mail address an hour from one client address (IPv6: a /64), past it 429; 0: no limit",
        )?,
        email_checks_per_account: settings.number(
            "EMAIL_CHECKS_PER_ACCOUNT",
            10,
            0..=1_000_000,
            "requests",
            "changes of e-mail address an hour of one account, refused ones included, past it 429; 0: no limit",
        )?,
    })
}

/// Longer than a hash takes, in whatever parameters.
const HASH_MAX: Duration = Duration::from_secs(10);

/// OWASP ASVS 2.2.1 allows 100 failures an hour on an account, NIST SP 800-63B 100 in a row: 10 in a quarter of an hour, and
/// so 40 an hour, from one address are well below, and more than anybody mistypes.
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
            "wrong passwords for one account from one address (IPv6: a /64) within the window; past it the answer is 429",
        )?,
        failures_per_address: settings.number(
            "LOGIN_FAILURES_PER_ADDRESS",
            100,
            1..=100_000,
            "failures",
            "wrong passwords for whatever accounts from one address within the window: of all who share it",
        )?,
        window: settings.seconds(
            "LOGIN_FAILURES_WINDOW_SECONDS",
            900,
            1..=86_400,
            "how long a wrong password counts",
        )?,
        waiting_max: hashing.queue_max,
        waiting_timeout: hashing.queue_timeout,
        held: hashing.queue_timeout + store_timeout * 2 + HASH_MAX,
    })
}
