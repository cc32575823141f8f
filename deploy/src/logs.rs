//! Logs of the services: `DIR/logs/NAME.log`, bounded in size.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::error::Error;
use crate::service::Service;

/// Size at which a log is rotated to `NAME.log.1`, in bytes.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Bytes at the end of a log that are searched for its last lines.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// The directory of the logs.
#[derive(Debug)]
pub(crate) struct Logs(pub(crate) PathBuf);

impl Logs {
    /// Redirects the output of `command` to the service's log. Opened to append, so that it can be truncated while written.
    pub(crate) fn attach(&self, service: Service, command: &mut Command, account: &Account) -> Result<(), Error> {
        let path = self.path(service);
        let open = || OpenOptions::new().append(true).create(true).mode(0o640).open(&path);
        let log = open().map_err(Error::file(&path))?;
        // nginx reopens its standard output by name.
        account.own(&path)?;
        let errors = log.try_clone().map_err(Error::file(&path))?;
        command.stdout(Stdio::from(log)).stderr(Stdio::from(errors));
        Ok(())
    }

    /// Returns the last `lines` lines of a service's log.
    pub(crate) fn tail(&self, service: Service, lines: usize) -> String {
        let text = end_of(&self.path(service)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Rotates the logs that are too large.
    pub(crate) fn trim(&self) {
        for path in Service::ALL.map(|service| self.path(service)) {
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
                // Losing an old log is better than filling the disk.
                let _ = fs::copy(&path, path.with_extension("log.1"));
                let _ = OpenOptions::new().write(true).open(&path).and_then(|log| log.set_len(0));
            }
        }
    }

    fn path(&self, service: Service) -> PathBuf {
        self.0.join(format!("{service}.log"))
    }
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
