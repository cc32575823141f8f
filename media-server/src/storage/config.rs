//! Settings of the storage.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use object_store::path::Path;
use url::Url;

use super::s3::S3Config;

/// Settings of the storage.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    pub url: StorageUrl,
    pub s3: S3Config,
    /// Timeout of one operation, retries included.
    pub timeout: Duration,
    /// Size of the in-memory cache of small objects; 0 disables it.
    pub cache_bytes: usize,
}

/// `file:///an/absolute/path` or `s3://BUCKET/a/prefix`.
#[derive(Clone, Debug)]
pub enum StorageUrl {
    Directory(PathBuf),
    Bucket { name: String, prefix: Path },
}

impl FromStr for StorageUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "not a URL")?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a query or a fragment");
        }
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Directory).map_err(|()| "not an absolute path"),
            "s3" if url.username().is_empty() && url.password().is_none() && url.port().is_none() => {
                let name = url.host_str().filter(|name| !name.is_empty()).ok_or("no bucket")?.to_owned();
                let prefix = Path::from_url_path(url.path()).map_err(|_| "an invalid prefix")?;
                Ok(Self::Bucket { name, prefix })
            }
            _ => Err("neither file: nor s3:"),
        }
    }
}
