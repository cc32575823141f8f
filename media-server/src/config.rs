//! Every setting, read once.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use shared::http::serve::ServeConfig;
use shared::settings::{SettingError, Settings};
use shared::telemetry::LogConfig;
use shared::workers::WorkersConfig;

use crate::decoding::DecodingConfig;
use crate::images::PictureLimits;
use crate::storage::StorageConfig;

/// The settings of media-server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where pictures are delivered.
    pub listen: SocketAddr,
    /// Where auth-api stores and deletes them; nginx does not reach it.
    pub write_listen: HostAndPort,
    /// The limits of both listeners.
    pub serve: ServeConfig,
    /// Logs.
    pub log: LogConfig,
    /// The secret of the two services.
    pub media_secret_file: PathBuf,
    /// Where pictures lie.
    pub storage: StorageConfig,
    /// The largest picture, in bytes.
    pub picture_bytes_max: usize,
    /// Decoding.
    pub decoding: DecodingConfig,
    /// Memory that large bodies share, in bytes.
    pub body_memory_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

/// `HOST:PORT`, where the host is an address or a name with perhaps many.
#[derive(Clone, Debug)]
pub struct HostAndPort(String);

impl FromStr for HostAndPort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(());
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
        Ok(Self {
            listen: settings.parsed(
                "LISTEN",
                "127.0.0.1:8012",
                "an address and a port",
                "where pictures are delivered to nginx",
            )?,
            write_listen: settings.parsed(
                "WRITE_LISTEN",
                "127.0.0.1:8013",
                "an address or a name, and a port",
                "where auth-api stores and deletes pictures, and nginx must not reach; of a name the address that is this machine's",
            )?,
            serve: ServeConfig::read(settings)?,
            log: LogConfig::read(settings)?,
            media_secret_file: settings.path(
                "MEDIA_SECRET_FILE",
                "/run/secrets/media",
                "the file that holds the secret of auth-api and media-server, 16 bytes or more, the same for both",
            ),
            storage: storage(settings)?,
            picture_bytes_max: settings.number(
                "PICTURE_BYTES_MAX",
                10 * 1024 * 1024,
                1..=1024 * 1024 * 1024,
                "bytes",
                "the largest picture; nginx's client_max_body_size and auth-api's own limit go with it",
            )?,
            decoding: decoding(settings)?,
            body_memory_bytes: settings.number(
                "BODY_MEMORY_BYTES",
                64 * 1024 * 1024,
                1024 * 1024..=64 * 1024 * 1024 * 1024,
                "bytes",
                "memory that uploads over 64 KiB share until they are stored; those that do not fit wait",
            )?,
            body_timeout: settings.seconds(
                "BODY_TIMEOUT_SECONDS",
                15,
                1..=3600,
                "how long an upload may wait for its memory (past it 503), and take to arrive (past it 408)",
            )?,
        })
    }
}

fn storage(settings: &mut Settings) -> Result<StorageConfig, SettingError> {
    Ok(StorageConfig {
        url: settings.parsed(
            "STORAGE_URL",
            "file:///var/lib/users-media",
            "file:/// and the absolute path of a directory (s3:// is not there yet)",
            "the directory that pictures lie in; replicas share it",
        )?,
        timeout: settings.seconds(
            "STORAGE_TIMEOUT_SECONDS",
            5,
            1..=600,
            "how long the storage may take for one operation; past it the answer is 503",
        )?,
    })
}

fn decoding(settings: &mut Settings) -> Result<DecodingConfig, SettingError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(DecodingConfig {
        workers: WorkersConfig {
            threads: settings.number(
                "DECODERS",
                cores,
                1..=1024,
                "threads",
                "pictures decoded at once: cores and memory are bounded by it (default: the number of cores)",
            )?,
            queue_max: settings.number(
                "DECODE_QUEUE_MAX",
                256,
                1..=1_000_000,
                "pictures",
                "pictures that may wait to be decoded; past it the answer is 503 at once",
            )?,
            queue_timeout: settings.seconds(
                "DECODE_TIMEOUT_SECONDS",
                10,
                1..=600,
                "how long a picture may wait to be decoded; past it the answer is 503",
            )?,
        },
        limits: PictureLimits {
            pixels_max: settings.number(
                "PICTURE_PIXELS_MAX",
                40_000_000,
                1..=4_000_000_000,
                "pixels",
                "width x height x frames of the largest picture",
            )?,
        },
    })
}
