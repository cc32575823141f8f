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
use crate::renditions::asked::RenditionSizes;
use crate::storage::{S3Config, S3Endpoint, StorageConfig};

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
    /// The sides of renditions, in pixels.
    pub rendition_sizes: RenditionSizes,
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
            rendition_sizes: settings.parsed(
                "RENDITION_SIZES",
                "64,128,256,512",
                "up to 16 numbers from 1 to 2048 with commas between them",
                "the sides, in pixels, that ?size=N may ask for; the largest is made after the upload, and the others of it",
            )?,
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
        url: settings.confidential(
            "STORAGE_URL",
            "file:///var/lib/users-media",
            "file:/// and the absolute path of a directory, or s3://BUCKET/ and what paths in the bucket begin with",
            "the directory or the S3 bucket that pictures lie in; replicas share it",
        )?,
        s3: s3(settings)?,
        timeout: settings.seconds(
            "STORAGE_TIMEOUT_SECONDS",
            5,
            1..=600,
            "how long the storage may take for one operation, tries again included; past it the answer is 503",
        )?,
        cache_bytes: settings.number(
            "PICTURE_CACHE_BYTES",
            16 * 1024 * 1024,
            0..=64 * 1024 * 1024 * 1024,
            "bytes",
            "memory for small pictures that were asked for lately; 0 is none",
        )?,
    })
}

fn s3(settings: &mut Settings) -> Result<S3Config, SettingError> {
    Ok(S3Config {
        endpoint: endpoint(settings)?,
        region: settings.text("S3_REGION", "us-east-1", "the region of the bucket, which requests are signed for"),
        path_style: settings.parsed(
            "S3_PATH_STYLE",
            "true",
            "true or false",
            "whether the bucket's name stands in the path; else it stands in the host",
        )?,
        access_key_file: settings.path(
            "S3_ACCESS_KEY_FILE",
            "/run/secrets/s3/access-key",
            "the file that holds the access key; it may get, put, delete and list objects",
        ),
        secret_key_file: settings.path(
            "S3_SECRET_KEY_FILE",
            "/run/secrets/s3/secret-key",
            "the file that holds the secret key",
        ),
        ca_file: settings.optional_path(
            "S3_CA_FILE",
            "a PEM file of who vouches for the server, beside those whom the system trusts",
        ),
    })
}

fn endpoint(settings: &mut Settings) -> Result<Option<S3Endpoint>, SettingError> {
    let name = "S3_ENDPOINT";
    let text = settings.text(name, "", "the S3 server; none: Amazon's of the region; http:// is not encrypted");
    if text.is_empty() {
        return Ok(None);
    }
    let endpoint = text
        .parse()
        .map_err(|()| SettingError::new(name, format!("{text:?}"), "https://HOST:PORT or http://HOST:PORT"))?;
    Ok(Some(endpoint))
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
        deadline: settings.seconds(
            "DECODE_DEADLINE_SECONDS",
            15,
            1..=600,
            "how long a picture may take to be decoded, the wait included; past it the decoder stops and the answer is 503",
        )?,
        memory_bytes: settings.number(
            "DECODE_MEMORY_BYTES",
            192 * 1024 * 1024,
            32 * 1024 * 1024..=64 * 1024 * 1024 * 1024,
            "bytes",
            "memory that decodings share; one that finds too little waits, and a picture that takes more than all of it, for its check or for ?size, is refused",
        )?,
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
