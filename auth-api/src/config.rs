//! Every setting, read once.

mod media;
mod passwords;
mod stores;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use shared::http::serve::ServeConfig;
use shared::settings::{SettingError, Settings};
use shared::telemetry::LogConfig;

use crate::hashing::HashingConfig;
use crate::media::MediaConfig;
use crate::redis_client::RedisConfig;
use crate::request_limits::RequestLimitsConfig;
use crate::store::PostgresConfig;
use crate::throttle::ThrottleConfig;
use crate::tokens::TokenConfig;

/// The settings of auth-api.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The listener's limits.
    pub serve: ServeConfig,
    /// Logs.
    pub log: LogConfig,
    /// What links begin with, if it is fixed.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where users are.
    pub postgres: PostgresConfig,
    /// Where sessions are.
    pub redis: RedisConfig,
    /// Settings of earlier releases that are set.
    pub ignored_settings: Vec<&'static str>,
    /// How long Postgres or Redis may take for what a request asks of it.
    pub store_timeout: Duration,
    /// Where pictures are.
    pub media: MediaConfig,
    /// The secret of the two services.
    pub media_secret_file: PathBuf,
    /// How long an uploaded picture may be without an owner.
    pub upload_grace: Duration,
    /// How often pictures that are due to be deleted are.
    pub sweep_interval: Duration,
    /// How long a picture must have been stored before it can be an orphan, and then is noted before it is deleted.
    pub orphan_grace: Duration,
    /// How often orphans are looked for; zero is never.
    pub orphan_sweep_interval: Duration,
    /// Tokens.
    pub tokens: TokenConfig,
    /// How long a refresh token that was used gives its successor again.
    pub refresh_grace: Duration,
    /// The most sessions of one user.
    pub sessions_max: usize,
    /// Passwords.
    pub hashing: HashingConfig,
    /// How many of them may be tried.
    pub throttle: ThrottleConfig,
    /// Limits of registrations and of probes of addresses.
    pub request_limits: RequestLimitsConfig,
    /// The largest picture, in bytes.
    pub picture_bytes_max: usize,
    /// The largest body of an endpoint that takes no picture, in bytes.
    pub body_bytes_max: usize,
    /// Memory that large bodies share, in bytes.
    pub body_memory_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

/// What a body holds beside a picture, in bytes.
const BESIDE_PICTURE_BYTES: usize = 64 * 1024;

impl Config {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Result<Self, SettingError> {
        let listen = settings.parsed("LISTEN", "127.0.0.1:8011", "an address and a port", "where to listen")?;
        let serve = ServeConfig::read(settings)?;
        let log = LogConfig::read(settings)?;
        let public_url = public_url(settings)?;
        let trusted_proxies = trusted_proxies(settings)?;
        let store_timeout = settings.seconds(
            "STORE_TIMEOUT_SECONDS",
            2,
            1..=60,
            "how long Postgres or Redis may take for what a request asks of it; past it the answer is 503",
        )?;
        let postgres = stores::postgres(settings, store_timeout)?;
        let redis = stores::redis(settings, store_timeout)?;
        let media = media::media(settings)?;
        let media_secret_file = settings.path(
            "MEDIA_SECRET_FILE",
            "/run/secrets/media",
            "the file that holds the secret of auth-api and media-server, 16 bytes or more, the same for both",
        );
        let hashing = passwords::hashing(settings)?;
        let (upload_grace, sweep_interval) = media::sweep(settings, media.timeout, store_timeout)?;
        let (orphan_grace, orphan_sweep_interval) = media::orphans(settings, upload_grace)?;
        Ok(Self {
            listen,
            serve,
            log,
            public_url,
            trusted_proxies,
            postgres,
            redis,
            ignored_settings: settings.set_of(&["USER_COPY_SECONDS"]),
            store_timeout,
            media,
            media_secret_file,
            upload_grace,
            sweep_interval,
            orphan_grace,
            orphan_sweep_interval,
            tokens: tokens::tokens(settings)?,
            refresh_grace: settings.seconds(
                "REFRESH_GRACE_SECONDS",
                10,
                0..=300,
                "how long a refresh token that was used gives its successor again: tabs that refresh at once, lost answers",
            )?,
            sessions_max: settings.number(
                "SESSIONS_MAX",
                50,
                1..=1000,
                "sessions",
                "sessions of one user; one more, and the least recently used ends",
            )?,
            throttle: passwords::throttle(settings, &hashing.workers, store_timeout)?,
            request_limits: passwords::request_limits(settings)?,
            hashing,
            picture_bytes_max: settings.number(
                "PICTURE_BYTES_MAX",
                10 * 1024 * 1024,
                1..=1024 * 1024 * 1024,
                "bytes",
                "the largest picture; nginx's client_max_body_size and media-server's own limit go with it",
            )?,
            body_bytes_max: settings.number(
                "BODY_BYTES_MAX",
                16 * 1024,
                1024..=1024 * 1024,
                "bytes",
                "the largest body of an endpoint that takes no picture, past it 413",
            )?,
            body_memory_bytes: settings.number(
                "BODY_MEMORY_BYTES",
                64 * 1024 * 1024,
                1024 * 1024..=64 * 1024 * 1024 * 1024,
                "bytes",
                "memory that bodies over 64 KiB share; those that do not fit wait",
            )?,
            body_timeout: settings.seconds(
                "BODY_TIMEOUT_SECONDS",
                30,
                1..=3600,
                "how long a body may take to arrive",
            )?,
        })
    }

    /// The largest body of an endpoint that takes a picture: the picture in base64 (4 bytes for 3), and the rest.
    pub fn picture_body_bytes_max(&self) -> usize {
        self.picture_bytes_max.div_ceil(3) * 4 + BESIDE_PICTURE_BYTES
    }
}

fn public_url(settings: &mut Settings) -> Result<Option<String>, SettingError> {
    let text = settings.text(
        "PUBLIC_URL",
        "",
        "what links in answers begin with, as in https://users.example.com; none: the Host and scheme that a trusted proxy tells",
    );
    if text.is_empty() {
        return Ok(None);
    }
    let is_origin = reqwest::Url::parse(&text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !is_origin {
        return Err(SettingError::new(
            "PUBLIC_URL",
            format!("{text:?}"),
            "http:// or https:// and a host, without a path",
        ));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

fn trusted_proxies(settings: &mut Settings) -> Result<Vec<IpNet>, SettingError> {
    let text = settings.text(
        "TRUSTED_PROXIES",
        "127.0.0.0/8,::1/128",
        "whose X-Forwarded-For, -Host and -Proto are believed: networks, separated by commas",
    );
    let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
    networks.map(str::parse).collect::<Result<_, _>>().map_err(|_| {
        SettingError::new("TRUSTED_PROXIES", format!("{text:?}"), "networks such as 10.0.0.0/8, separated by commas")
    })
}
