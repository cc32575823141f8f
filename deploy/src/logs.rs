//! What the children say: `DIR/logs/NAME.log`, bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::error::Error;
use crate::part::Part;

/// A log that has grown past this many bytes is moved to `NAME.log.1`, over the one before.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// The last lines are looked for in this many bytes.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// The directory of the logs.
#[derive(Debug)]
pub(crate) struct Logs(pub(crate) PathBuf);

impl Logs {
    /// Sends what `command` writes to the part's log. It is opened to append, so that it can be emptied under its writer.
    pub(crate) fn attach(&self, part: Part, command: &mut Command, account: &Account) -> Result<(), Error> {
        let path = self.path(part);
        let open = || OpenOptions::new().append(true).create(true).mode(0o640).open(&path);
        let log = open().map_err(Error::file(&path))?;
        // nginx opens its standard output again, by name.
        account.own(&path)?;
        let errors = log.try_clone().map_err(Error::file(&path))?;
        command.stdout(Stdio::from(log)).stderr(Stdio::from(errors));
        Ok(())
    }

    /// The last `lines` lines of a part's log.
    pub(crate) fn tail(&self, part: Part, lines: usize) -> String {
        let text = end_of(&self.path(part)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Keeps the logs within their bound.
    pub(crate) fn trim(&self) {
        for path in Part::ALL.map(|part| self.path(part)) {
            if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
                // Better an old log lost than a full disk.
                let _ = fs::copy(&path, path.with_extension("log.1"));
                let _ = OpenOptions::new().write(true).open(&path).and_then(|log| log.set_len(0));
            }
        }
    }

    fn path(&self, part: Part) -> PathBuf {
        self.0.join(format!("{part}.log"))
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
