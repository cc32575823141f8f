//! Storage in a bucket of an S3 server.
//!
//! A picture of any size is one `PUT` with `If-None-Match: *`: the server stores all of it or nothing, and never overwrites. The keys need `s3:GetObject`, `s3:PutObject`, `s3:DeleteObject` and `s3:ListBucket`.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectMeta, ObjectStore, RetryConfig};
use shared::media_api::ImageId;
use url::Url;

use super::object::{ObjectKey, directory};
use super::{ListedImage, OpenError, Page, StorageError};

/// Settings of an S3 client.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// `None`: Amazon's of the region.
    pub endpoint: Option<S3Endpoint>,
    pub region: String,
    /// Whether the bucket's name is in the path; else it is in the host.
    pub path_style: bool,
    pub access_key_file: PathBuf,
    pub secret_key_file: PathBuf,
    /// Additional certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// `https://HOST:PORT`, or `http://HOST:PORT` without encryption.
#[derive(Clone, Debug)]
pub struct S3Endpoint(Url);

impl FromStr for S3Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "not a URL")?;
        let is_bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let is_http = matches!(url.scheme(), "http" | "https");
        (is_bare && is_http && url.has_host()).then_some(Self(url)).ok_or("not http(s)://HOST:PORT")
    }
}

impl S3Endpoint {
    fn of_bucket(&self, bucket: &str, path_style: bool) -> Option<String> {
        let Self(mut url) = self.clone();
        if !path_style {
            url.set_host(Some(&format!("{bucket}.{}", url.host_str()?))).ok()?;
        }
        Some(url.to_string())
    }
}

/// Timeout of a connection attempt, which is retried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections are closed after this time, before servers close them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// First pause before a retry; later ones are random and longer.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Retries within the operation's timeout.
const RETRIES_MAX: usize = 10;

/// Most keys that a server lists at once.
const KEYS_MAX: usize = 1000;

/// The S3 backend. Cheap to clone.
#[derive(Clone)]
pub(super) struct S3 {
    /// Paths relative to the prefix.
    store: Arc<PrefixStore<AmazonS3>>,
    /// Whole paths: it lists by any prefix.
    bucket: Arc<AmazonS3>,
    prefix: Path,
}

impl fmt::Debug for S3 {
    /// Hides the keys, which `AmazonS3` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3(…)")
    }
}

impl S3 {
    /// Creates a client; it does not connect yet.
    pub(super) fn open(name: &str, prefix: Path, config: &S3Config, timeout: Duration) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Client(name.to_owned(), error);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(!config.path_style)
            .with_access_key_id(read_key("S3_ACCESS_KEY_FILE", &config.access_key_file)?)
            .with_secret_access_key(read_key("S3_SECRET_KEY_FILE", &config.secret_key_file)?)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Not all servers support it.
            .with_disable_bulk_delete(true)
            // Saves hashing pictures on an I/O thread; TLS protects them already.
            .with_unsigned_payload(!is_plain(config))
            .with_retry(retries(timeout))
            .with_client_options(client_options(config, timeout)?);
        if let Some(endpoint) = config.endpoint.as_ref().and_then(|url| url.of_bucket(name, config.path_style)) {
            builder = builder.with_endpoint(endpoint);
        }
        let bucket = builder.build().map_err(unusable)?;
        let store = Arc::new(PrefixStore::new(bucket.clone(), prefix.clone()));
        Ok(Self { store, bucket: Arc::new(bucket), prefix })
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Lists the renditions of a picture.
    pub(super) async fn renditions(&self, id: ImageId) -> Result<Vec<ObjectKey>, StorageError> {
        let original = ObjectKey::original(id).path();
        let mut found = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
            let page = self.bucket.list_paginated(Some(&self.key(original.as_ref())), options).await?;
            let objects = page.result.objects.iter().filter_map(object_key);
            found.extend(objects.filter(|object| object.rendition.is_some()));
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(found);
            }
        }
    }

    pub(super) async fn list(&self, after: Option<ImageId>, limit: usize) -> Result<Page, StorageError> {
        // Sorts after all objects of a picture: `/` comes after `.` and before every digit.
        let after = after.map(|id| self.key(&format!("{}/{}/", directory(id), id.hex())));
        let mut images: Vec<ListedImage> = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions {
                offset: after.clone(),
                max_keys: Some(limit.min(KEYS_MAX)),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self.bucket.list_paginated(Some(&self.key("")), options).await?;
            for (meta, object) in page.result.objects.iter().filter_map(|meta| Some((meta, object_key(meta)?))) {
                if images.last().is_none_or(|last| last.id != object.id) {
                    let has_original = object.rendition.is_none();
                    images.push(ListedImage { id: object.id, modified: meta.last_modified.into(), has_original });
                }
            }
            page_token = page.page_token;
            // A page may hold foreign objects only.
            if page_token.is_none() || !images.is_empty() {
                let next = images.last().filter(|_| page_token.is_some()).map(|last| last.id);
                return Ok(Page { images, next });
            }
        }
    }

    /// Prepends the prefix.
    fn key(&self, path: &str) -> String {
        let prefix = self.prefix.as_ref();
        if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
    }
}

fn object_key(meta: &ObjectMeta) -> Option<ObjectKey> {
    ObjectKey::parse(meta.location.filename()?)
}

/// Ends retries before the operation's timeout, so that the error is the cause and not the timeout.
fn retries(timeout: Duration) -> RetryConfig {
    let max_backoff = BACKOFF_MAX.min(timeout / 4);
    let backoff = BackoffConfig { init_backoff: BACKOFF_MIN, max_backoff, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: timeout.saturating_sub(max_backoff * 2) }
}

/// Whether the server is reached without TLS.
fn is_plain(config: &S3Config) -> bool {
    config.endpoint.as_ref().is_some_and(|S3Endpoint(url)| url.scheme() == "http")
}

/// `Storage` limits the whole operation; the timeouts here end stalled connections.
fn client_options(config: &S3Config, timeout: Duration) -> Result<ClientOptions, OpenError> {
    let is_plain = is_plain(config);
    let mut options = ClientOptions::new()
        .with_allow_http(is_plain)
        // Plain HTTP: skip loading the system's certificate authorities.
        .with_no_system_certificates(is_plain)
        .with_timeout_disabled()
        .with_read_timeout(timeout)
        .with_connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .with_pool_idle_timeout(IDLE_TIMEOUT);
    if let Some(path) = &config.ca_file {
        let failed = |error| OpenError::File { name: "S3_CA_FILE", path: path.clone(), error };
        let pem = std::fs::read(path).map_err(failed)?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        if certificates.is_empty() {
            return Err(failed(std::io::Error::other("no certificate in it")));
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn read_key(name: &'static str, path: &FilePath) -> Result<String, OpenError> {
    let failed = |error| OpenError::File { name, path: path.to_owned(), error };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let key = text.trim();
    if key.is_empty() { Err(failed(std::io::Error::other("it is empty"))) } else { Ok(key.to_owned()) }
}
