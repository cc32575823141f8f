//! Settings.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use shared::http::body::BodyLimits;
use shared::http::serve::ServeConfig;
use shared::media_api;
use shared::memory_limit::MemoryUse;
use shared::settings::{SettingError, Settings};
use shared::telemetry::LogConfig;
use shared::worker_pool::WorkersConfig;

use crate::decode_pool::DecodePoolConfig;
use crate::formats::PictureLimits;
use crate::http::rendition_query::RenditionSizes;
use crate::storage::{S3Config, S3Endpoint, StorageConfig};

/// The settings of media-server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Public API.
    pub listen: SocketAddr,
    /// Internal API, for auth-api only.
    pub write_listen: HostAndPort,
    pub serve: ServeConfig,
    pub log: LogConfig,
    pub media_secret_file: PathBuf,
    pub storage: StorageConfig,
    pub picture_bytes_max: usize,
    pub decode_pool: DecodePoolConfig,
    pub limits: PictureLimits,
    pub rendition_sizes: RenditionSizes,
    pub body_limits: BodyLimits,
}

/// Default timeout of receiving an upload.
const BODY_TIMEOUT_SECONDS: u64 = 15;

/// `HOST:PORT`, where the host is an address or a name.
#[derive(Clone, Debug)]
pub struct HostAndPort(String);

impl FromStr for HostAndPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (host, port) = text.rsplit_once(':').ok_or("no port")?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err("no host, or an invalid port");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Display for HostAndPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Config {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Result<Self, SettingError> {
        let config = Self {
            listen: settings.parsed(
                "LISTEN",
                "127.0.0.1:8012",
                "an address and a port",
                "address of the public API, for nginx",
            )?,
            write_listen: settings.parsed(
                "WRITE_LISTEN",
                "127.0.0.1:8013",
                "an address or a name, and a port",
                "address of the internal API, for auth-api; nginx must not reach it; of a name's addresses the one of this machine is used",
            )?,
            serve: ServeConfig::read(settings)?,
            log: LogConfig::read(settings)?,
            media_secret_file: media_api::secret_file(settings),
            storage: storage(settings)?,
            picture_bytes_max: media_api::picture_bytes_max(settings)?,
            decode_pool: decode_pool(settings)?,
            limits: PictureLimits {
                pixels_max: settings.number(
                    "PICTURE_PIXELS_MAX",
                    40_000_000,
                    1..=4_000_000_000,
                    "pixels",
                    "width x height x frames of the largest picture",
                )?,
            },
            rendition_sizes: settings.parsed(
                "RENDITION_SIZES",
                "64,128,256,512",
                "up to 16 comma-separated numbers from 1 to 2048",
                "sizes of renditions that ?size=N may request, in pixels; the largest is made after the upload, the others from it",
            )?,
            body_limits: BodyLimits::read(settings, BODY_TIMEOUT_SECONDS)?,
        };
        config.memory().check()?;
        Ok(config)
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            setting: "DECODE_MEMORY_BYTES and PICTURE_CACHE_BYTES",
            work: self.decode_pool.memory_bytes.saturating_add(self.storage.cache_bytes as u64),
            bodies: self.body_limits.budget_bytes(),
            connections: self.serve.connections_max,
        }
    }
}

fn storage(settings: &mut Settings) -> Result<StorageConfig, SettingError> {
    Ok(StorageConfig {
        url: settings.confidential(
            "STORAGE_URL",
            "file:///var/lib/users-media",
            "file:/// with the absolute path of a directory, or s3://BUCKET/PREFIX",
            "directory or S3 bucket that pictures are stored in, shared by all replicas",
        )?,
        s3: s3(settings)?,
        timeout: settings.seconds(
            "STORAGE_TIMEOUT_SECONDS",
            5,
            1..=600,
            "timeout of a storage operation, retries included; then the response is 503",
        )?,
        cache_bytes: settings.number(
            "PICTURE_CACHE_BYTES",
            16 * 1024 * 1024,
            0..=64 * 1024 * 1024 * 1024,
            "bytes",
            "size of the in-memory cache of small pictures; 0 disables it",
        )?,
    })
}

fn s3(settings: &mut Settings) -> Result<S3Config, SettingError> {
    Ok(S3Config {
        endpoint: endpoint(settings)?,
        region: settings.text("S3_REGION", "us-east-1", "region of the bucket, which requests are signed for"),
        path_style: settings.parsed(
            "S3_PATH_STYLE",
            "true",
            "true or false",
            "whether the bucket's name is in the path; else it is in the host",
        )?,
        access_key_file: settings.path(
            "S3_ACCESS_KEY_FILE",
            "/run/secrets/s3/access-key",
            "file of the access key, which may get, put, delete and list objects",
        ),
        secret_key_file: settings.path("S3_SECRET_KEY_FILE", "/run/secrets/s3/secret-key", "file of the secret key"),
        ca_file: settings
            .optional_path("S3_CA_FILE", "PEM file of certificate authorities, in addition to those of the system"),
    })
}

fn endpoint(settings: &mut Settings) -> Result<Option<S3Endpoint>, SettingError> {
    let name = "S3_ENDPOINT";
    let text = settings.text(name, "", "S3 server; none: Amazon's of the region; http:// is not encrypted");
    if text.is_empty() {
        return Ok(None);
    }
    let endpoint = text
        .parse()
        .map_err(|_| SettingError::new(name, format!("{text:?}"), "https://HOST:PORT or http://HOST:PORT"))?;
    Ok(Some(endpoint))
}

fn decode_pool(settings: &mut Settings) -> Result<DecodePoolConfig, SettingError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(DecodePoolConfig {
        workers: WorkersConfig {
            threads: settings.number(
                "DECODERS",
                cores,
                1..=1024,
                "threads",
                "decoding threads; bounds cores and memory (default: the number of cores)",
            )?,
            queue_max: settings.number(
                "DECODE_QUEUE_MAX",
                256,
                1..=1_000_000,
                "pictures",
                "most pictures that wait to be decoded; further ones get 503 at once",
            )?,
            queue_timeout: settings.seconds(
                "DECODE_TIMEOUT_SECONDS",
                10,
                1..=600,
                "timeout of waiting to be decoded; then the response is 503",
            )?,
        },
        deadline: settings.seconds(
            "DECODE_DEADLINE_SECONDS",
            15,
            1..=600,
            "timeout of decoding a picture, waiting included; then its decoder stops and the response is 503",
        )?,
        memory_bytes: settings.number(
            "DECODE_MEMORY_BYTES",
            192 * 1024 * 1024,
            32 * 1024 * 1024..=64 * 1024 * 1024 * 1024,
            "bytes",
            "memory budget of decoding; a picture that does not fit waits, and one whose verification or rendition exceeds the whole budget is refused",
        )?,
    })
}
