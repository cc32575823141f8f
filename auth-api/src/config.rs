//! Every setting, read once.

mod media;
mod passwords;
mod stores;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use shared::http::body::BodyLimits;
use shared::http::serve::ServeConfig;
use shared::media_api;
use shared::memory_limit::MemoryUse;
use shared::settings::{SettingError, Settings};
use shared::telemetry::LogConfig;

use crate::hashing::HashingConfig;
use crate::login_throttle::ThrottleConfig;
use crate::pictures::client::MediaConfig;
use crate::redis_client::RedisConfig;
use crate::refresh_cookie::CookieConfig;
use crate::request_limits::RequestLimitsConfig;
use crate::store::postgres::PostgresConfig;
use crate::tokens::TokenConfig;

/// The settings of auth-api.
pub struct Config {
    pub listen: SocketAddr,
    pub serve: ServeConfig,
    pub log: LogConfig,
    /// Scheme and host of links; `None`: those that the client used.
    pub public_url: Option<String>,
    pub cookies: CookieConfig,
    /// Networks of nginx, whose `X-Forwarded-*` headers are trusted.
    pub nginx_networks: Vec<IpNet>,
    pub postgres: PostgresConfig,
    pub redis: RedisConfig,
    /// Settings of earlier releases that are set.
    pub ignored_settings: Vec<&'static str>,
    /// Timeout of Postgres and Redis.
    pub store_timeout: Duration,
    pub media: MediaConfig,
    pub media_secret_file: PathBuf,
    /// Time until an uploaded picture without an owner is deleted.
    pub upload_grace: Duration,
    pub deletion_interval: Duration,
    /// Minimum age of an orphan, and then the delay of its deletion.
    pub orphan_grace: Duration,
    /// Zero disables the reconciliation.
    pub reconcile_interval: Duration,
    pub tokens: TokenConfig,
    /// Time in which a used refresh token returns its successor again.
    pub refresh_grace: Duration,
    /// Limit of a session's lifetime from its creation.
    pub session_lifetime_max: Option<Duration>,
    /// Sessions per user.
    pub sessions_max: usize,
    pub hashing: HashingConfig,
    pub login_throttle: ThrottleConfig,
    pub request_limits: RequestLimitsConfig,
    pub picture_bytes_max: usize,
    /// Limit of bodies without a picture.
    pub body_bytes_max: usize,
    pub body_limits: BodyLimits,
}

/// Default timeout of receiving a body.
const BODY_TIMEOUT_SECONDS: u64 = 30;

/// Room for the other fields of a body with a picture, in bytes.
const OTHER_FIELDS_BYTES: usize = 64 * 1024;

impl Config {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Result<Self, SettingError> {
        let listen = settings.parsed("LISTEN", "127.0.0.1:8011", "an address and a port", "address of the listener")?;
        let serve = ServeConfig::read(settings)?;
        let log = LogConfig::read(settings)?;
        let public_url = public_url(settings)?;
        let cookies = cookies(settings)?;
        let nginx_networks = nginx_networks(settings)?;
        let store_timeout = settings.seconds(
            "STORE_TIMEOUT_SECONDS",
            2,
            1..=60,
            "timeout of Postgres and Redis for a request; above it the response is 503",
        )?;
        let postgres = stores::postgres(settings, store_timeout)?;
        let redis = stores::redis(settings, store_timeout)?;
        let media = media::media(settings)?;
        let media_secret_file = media_api::secret_file(settings);
        let hashing = passwords::hashing(settings)?;
        let (upload_grace, deletion_interval) = media::deletions(settings, media.timeout, store_timeout)?;
        let (orphan_grace, reconcile_interval) = media::reconciliation(settings, upload_grace)?;
        let tokens = tokens::tokens(settings, public_url.as_deref())?;
        let config = Self {
            listen,
            serve,
            log,
            public_url,
            cookies,
            nginx_networks,
            postgres,
            redis,
            ignored_settings: settings.set_of(&["USER_COPY_SECONDS"]),
            store_timeout,
            media,
            media_secret_file,
            upload_grace,
            deletion_interval,
            orphan_grace,
            reconcile_interval,
            tokens,
            refresh_grace: settings.seconds(
                "REFRESH_GRACE_SECONDS",
                10,
                0..=300,
                "time in which a used refresh token returns its successor again, also if that has been used: for concurrent tabs and lost responses",
            )?,
            session_lifetime_max: Some(settings.seconds(
                "SESSION_LIFETIME_SECONDS",
                0,
                0..=10 * 366 * 86_400,
                "time after sign-in at which a session ends, however often it is refreshed; 0 is no limit",
            )?)
            .filter(|limit| !limit.is_zero()),
            sessions_max: settings.number(
                "SESSIONS_MAX",
                50,
                1..=1000,
                "sessions",
                "sessions per user; above it the least recently used one ends",
            )?,
            login_throttle: passwords::throttle(settings, &hashing.workers, store_timeout)?,
            request_limits: passwords::request_limits(settings)?,
            hashing,
            picture_bytes_max: media_api::picture_bytes_max(settings)?,
            body_bytes_max: settings.number(
                "BODY_BYTES_MAX",
                16 * 1024,
                1024..=1024 * 1024,
                "bytes",
                "limit of a body without a picture; above it the response is 413",
            )?,
            body_limits: BodyLimits::read(settings, BODY_TIMEOUT_SECONDS)?,
        };
        config.memory().check()?;
        Ok(config)
    }

    fn memory(&self) -> MemoryUse {
        let hash_bytes = u64::from(self.hashing.memory_kib) * 1024;
        MemoryUse {
            setting: "HASHING_THREADS",
            work: (self.hashing.workers.threads as u64).saturating_mul(hash_bytes),
            bodies: self.body_limits.budget_bytes(),
            connections: self.serve.connections_max,
        }
    }

    /// Returns the limit of a body with a picture: the picture in base64 (4 bytes for 3) and the other fields.
    pub fn picture_body_bytes_max(&self) -> usize {
        self.picture_bytes_max.div_ceil(3) * 4 + OTHER_FIELDS_BYTES
    }
}

fn public_url(settings: &mut Settings) -> Result<Option<String>, SettingError> {
    let text = settings.text(
        "PUBLIC_URL",
        "",
        "scheme and host of links in responses, such as https://users.example.com; empty: those of the request; see TRUSTED_PROXIES of nginx",
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

fn cookies(settings: &mut Settings) -> Result<CookieConfig, SettingError> {
    let name = "CORS_ALLOWED_ORIGINS";
    let text = settings.text(
        name,
        "",
        "origins whose pages may call the API, separated by commas, as in https://app.example.com; * stands for one label, as in https://*.example.com",
    );
    let origins = text.parse().map_err(|origin: String| {
        SettingError::new(
            name,
            format!("{origin:?}"),
            "origins such as https://app.example.com or https://*.example.com, separated by commas",
        )
    })?;
    let same_site = settings.parsed(
        "COOKIE_SAMESITE",
        "lax",
        "lax or none",
        "SameSite of the cookie with the refresh token: lax; or none, for pages on another site",
    )?;
    Ok(CookieConfig { same_site, origins })
}

fn nginx_networks(settings: &mut Settings) -> Result<Vec<IpNet>, SettingError> {
    let text = settings.text(
        "NGINX_NETWORKS",
        "127.0.0.0/8,::1/128",
        "networks of nginx, separated by commas: its X-Forwarded-For, -Host and -Proto are used",
    );
    let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
    networks.map(str::parse).collect::<Result<_, _>>().map_err(|_| {
        SettingError::new("NGINX_NETWORKS", format!("{text:?}"), "networks such as 10.0.0.0/8, separated by commas")
    })
}
