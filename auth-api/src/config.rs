//! Every setting, read once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use shared::http::serve::ServeConfig;
use shared::settings::{SettingError, Settings};
use shared::telemetry::LogConfig;
use shared::workers::WorkersConfig;

use crate::hashing::HashingConfig;
use crate::media::MediaConfig;
use crate::store::PostgresConfig;
use crate::store::redis_link::RedisConfig;
use crate::store::redis_link::address::{self, RedisAddress};
use crate::store::redis_link::tls::Tls;
use crate::throttle::ThrottleConfig;
use crate::tokens::{KeySource, TokenConfig};

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
    /// How long Postgres or Redis may take for what a request asks of it.
    pub store_timeout: Duration,
    /// Where pictures are.
    pub media: MediaConfig,
    /// The secret of the two services.
    pub media_secret_file: PathBuf,
    /// How long an uploaded picture may be without an owner.
    pub upload_grace: Duration,
    /// How often pictures without an owner are deleted.
    pub sweep_interval: Duration,
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
        let postgres = postgres(settings, store_timeout)?;
        let redis = redis(settings, store_timeout)?;
        let media = media(settings)?;
        let media_secret_file = settings.path(
            "MEDIA_SECRET_FILE",
            "/run/secrets/media",
            "the file that holds the secret of auth-api and media-server, 16 bytes or more, the same for both",
        );
        let hashing = hashing(settings)?;
        let (upload_grace, sweep_interval) = sweep(settings, media.timeout, store_timeout)?;
        Ok(Self {
            listen,
            serve,
            log,
            public_url,
            trusted_proxies,
            postgres,
            redis,
            store_timeout,
            media,
            media_secret_file,
            upload_grace,
            sweep_interval,
            tokens: tokens(settings)?,
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
            throttle: throttle(settings, &hashing.workers, store_timeout)?,
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
                1024 * 1024,
                1024..=1024 * 1024 * 1024,
                "bytes",
                "the largest body of an endpoint that takes no picture",
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

/// The password in a file, so that it stands in no environment and no command line.
fn password(name: &'static str, file: Option<&Path>) -> Result<Option<String>, SettingError> {
    let Some(file) = file else { return Ok(None) };
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => {
            Err(SettingError::new(name, format!("{} ({error})", file.display()), "the path of a file that can be read"))
        }
    }
}

fn postgres(settings: &mut Settings, timeout: Duration) -> Result<PostgresConfig, SettingError> {
    let mut server: tokio_postgres::Config = settings.confidential(
        "DATABASE_URL",
        "postgres://users@127.0.0.1:5432/users",
        "postgres://ROLE@HOST:PORT/DATABASE",
        "where users are",
    )?;
    let file = settings.optional_path("DATABASE_PASSWORD_FILE", "the file that holds the role's password");
    if let Some(password) = password("DATABASE_PASSWORD_FILE", file.as_deref())? {
        server.password(password);
    }
    let connections_max = settings.number(
        "DATABASE_CONNECTIONS_MAX",
        16,
        2..=1000,
        "connections",
        "connections to Postgres, for each replica",
    )?;
    Ok(PostgresConfig { server, connections_max, timeout })
}

fn redis(settings: &mut Settings, timeout: Duration) -> Result<RedisConfig, SettingError> {
    let address: RedisAddress = settings.confidential(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        address::FORMS,
        "where sessions are: redis://HOST:PORT/DATABASE, redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DATABASE (those are the \
         Sentinels), or redis-cluster://HOST:PORT,HOST:PORT (some of the nodes); rediss://, rediss-sentinel:// and \
         rediss-cluster:// speak TLS; USER@ before the hosts where Redis has users",
    )?;
    let file = settings.optional_path("REDIS_PASSWORD_FILE", "the file that holds Redis's password");
    let password = password("REDIS_PASSWORD_FILE", file.as_deref())?.or_else(|| address.password.clone());
    let file = settings.optional_path(
        "REDIS_SENTINEL_PASSWORD_FILE",
        "the file that holds the Sentinels' own password, if they have one",
    );
    let sentinel_password = self::password("REDIS_SENTINEL_PASSWORD_FILE", file.as_deref())?;
    let authorities = settings.optional_path(
        "REDIS_CA_FILE",
        "with TLS, whose certificates are believed: certificate authorities in PEM; none: those that the system trusts",
    );
    let tls = if address.tls { Some(redis_tls(authorities.as_deref())?) } else { None };
    Ok(RedisConfig { address, password, sentinel_password, tls, timeout })
}

fn redis_tls(authorities: Option<&Path>) -> Result<Tls, SettingError> {
    Tls::trusting(authorities).map_err(|error| {
        let was = authorities.map_or("empty".to_owned(), |path| path.display().to_string());
        let may_be = "the path of a PEM file with certificate authorities, or empty where the system has some";
        SettingError::new("REDIS_CA_FILE", format!("{was} ({error})"), may_be)
    })
}

fn media(settings: &mut Settings) -> Result<MediaConfig, SettingError> {
    Ok(MediaConfig {
        url: settings.parsed(
            "MEDIA_URL",
            "http://127.0.0.1:8013",
            "http://HOST:PORT",
            "the writing side of media-server",
        )?,
        timeout: settings.seconds(
            "MEDIA_TIMEOUT_SECONDS",
            20,
            1..=600,
            "how long an upload to media-server may take, decoding included; past it the answer is 503",
        )?,
        connect_timeout: settings.seconds(
            "MEDIA_CONNECT_TIMEOUT_SECONDS",
            2,
            1..=60,
            "how long connecting to media-server may take",
        )?,
    })
}

/// An upload is tried twice, and then written to Postgres: its grace must be longer than all that.
fn sweep(
    settings: &mut Settings,
    media_timeout: Duration,
    store_timeout: Duration,
) -> Result<(Duration, Duration), SettingError> {
    let name = "UPLOAD_GRACE_SECONDS";
    let grace = settings.seconds(
        name,
        60,
        1..=86_400,
        "how long an uploaded picture may be without an owner before it is deleted",
    )?;
    let least = media_timeout * 2 + store_timeout * 2;
    if grace < least {
        let may_be =
            format!("{} or more: twice MEDIA_TIMEOUT_SECONDS and twice STORE_TIMEOUT_SECONDS", least.as_secs());
        return Err(SettingError::new(name, grace.as_secs(), may_be));
    }
    let interval =
        settings.seconds("SWEEP_INTERVAL_SECONDS", 5, 1..=86_400, "how often pictures without an owner are deleted")?;
    Ok((grace, interval))
}

fn tokens(settings: &mut Settings) -> Result<TokenConfig, SettingError> {
    Ok(TokenConfig {
        access_lifetime: settings.seconds(
            "ACCESS_TOKEN_TTL_SECONDS",
            300,
            1..=86_400,
            "how long an access token lives",
        )?,
        refresh_lifetime: settings.seconds(
            "REFRESH_TOKEN_TTL_SECONDS",
            14 * 86_400,
            1..=10 * 366 * 86_400,
            "how long a refresh token lives, and so a session that is not used",
        )?,
        issuer: settings.text("TOKEN_ISSUER", "users", "the iss claim of tokens; tokens of another issuer are refused"),
        keys: keys(settings),
        key_activation: settings.seconds(
            "TOKEN_KEY_ACTIVATION_SECONDS",
            600,
            1..=30 * 86_400,
            "how long a new key is known before it signs; /.well-known/jwks.json may be kept for half of it (300 seconds at most)",
        )?,
    })
}

fn keys(settings: &mut Settings) -> KeySource {
    let directory = settings.path(
        "TOKEN_KEYS_DIR",
        "/var/lib/auth-api/keys",
        "the directory of the Ed25519 signing keys, shared by replicas; the first to start makes a key, `auth-api keys rotate` another",
    );
    let secret = settings.optional_path(
        "TOKEN_SECRET_FILE",
        "the file that holds a secret of 32 bytes or more: tokens are then signed with it (HS256), and there are no public keys",
    );
    secret.map_or(KeySource::Directory(directory), KeySource::Secret)
}

fn hashing(settings: &mut Settings) -> Result<HashingConfig, SettingError> {
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

/// Longer than a hash takes, in whatever parameters.
const HASH_MAX: Duration = Duration::from_secs(10);

/// OWASP ASVS 2.2.1 allows 100 failures an hour on an account, NIST SP 800-63B 100 in a row: 10 in a quarter of an hour, and
/// so 40 an hour, from one address are well below, and more than anybody mistypes.
fn throttle(
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
