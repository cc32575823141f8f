//! Paths of installed programs. On Debian an ordinary user's PATH lacks `sbin`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

const DIRECTORIES: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// Debian installs each major version in its own subdirectory.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The oldest supported major version.
const POSTGRES_VERSION_MIN: u32 = 15;

/// Returns the path of the program `name`.
pub fn find(name: &str) -> Result<PathBuf, Error> {
    let mut paths = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
    paths.find(|path| path.exists()).ok_or_else(|| Error::NoProgram(name.to_owned()))
}

/// Returns the directory of the Postgres programs: of the version that made `data`, or else the newest.
pub(crate) fn postgres(data: &Path) -> Result<PathBuf, Error> {
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok();
    let installed = fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().filter_map(Result::ok);
    let mut versions: Vec<u32> = installed
        .filter(|entry| entry.path().join("bin/initdb").exists())
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|version| *version >= POSTGRES_VERSION_MIN)
        .collect();
    versions.sort_unstable();
    let version = match &made_by {
        Some(version) => version
            .trim()
            .parse()
            .ok()
            .filter(|version| versions.contains(version))
            .ok_or_else(|| Error::NoSuchPostgres { path: data.to_owned(), version: version.trim().to_owned() })?,
        None => {
            *versions.last().ok_or_else(|| Error::NoProgram(format!("PostgreSQL {POSTGRES_VERSION_MIN} or newer")))?
        }
    };
    Ok(Path::new(POSTGRES_VERSIONS).join(version.to_string()).join("bin"))
}
