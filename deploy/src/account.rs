//! The account of the child processes: not root, which Postgres refuses and nothing here needs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// The account that Debian's package `postgresql` creates.
const UNPRIVILEGED: &str = "postgres";

/// Runs its arguments if the parent is still the process that forked it: a parent that dies between fork and `prctl`
/// would go unnoticed otherwise.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// Checks that `$0` is writable and the other arguments are executable. Uses the shell's own `test`: that of coreutils
/// ignores capabilities.
const CHECK_ACCESS: &str = r#"test -w "$0" && test -x "$0" && for program; do test -x "$program" || exit 1; done"#;

/// Capabilities that open a checkout below a directory that is closed to the account (`/root`), weakest first.
const CAPABILITIES: [Option<&str>; 3] = [None, Some("dac_read_search"), Some("dac_override")];

/// The account that child processes run as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    switch: Option<Switch>,
}

#[derive(Clone, Debug)]
struct Switch {
    uid: u32,
    gid: u32,
    capability: Option<&'static str>,
}

impl Account {
    /// Returns the current user; for root, the owner of an existing data directory, or `postgres` for a new one.
    pub(crate) fn choose(data: &Path) -> Result<Self, Error> {
        let own_uid = rustix::process::geteuid().as_raw();
        let owner = fs::metadata(data).ok().map(|metadata| (metadata.uid(), metadata.gid()));
        if own_uid != 0 {
            return match owner {
                Some((uid, _)) if uid != own_uid => Err(Error::DataDirOfAnother(data.to_owned(), uid)),
                _ => Ok(Self { switch: None }),
            };
        }
        let (uid, gid) = match owner {
            Some((uid, gid)) if uid != 0 => (uid, gid),
            _ => unprivileged()?,
        };
        Ok(Self { switch: Some(Switch { uid, gid, capability: None }) })
    }

    /// Returns the current user.
    pub(crate) fn current() -> Self {
        Self { switch: None }
    }

    /// Ensures that children can write to `directory` and run `programs`. If the account may not, and this process is root,
    /// children get the weakest capability that suffices.
    pub(crate) fn ensure_access(&mut self, directory: &Path, programs: &[&Path]) -> Result<(), Error> {
        let Some(switch) = &self.switch else { return Ok(()) };
        let uid = switch.uid;
        for capability in CAPABILITIES {
            if let Some(switch) = &mut self.switch {
                switch.capability = capability;
            }
            if self.has_access(directory, programs) {
                return Ok(());
            }
        }
        Err(Error::NoAccess { uid, path: directory.to_owned() })
    }

    /// Returns a command that runs `program` as this account. It is sent `orphan_signal` when this process dies.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, orphan_signal: &str) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(Switch { uid, gid, capability }) = self.switch {
            command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
            if let Some(capability) = capability {
                command.arg("--inh-caps").arg(format!("+{capability}"));
                command.arg("--ambient-caps").arg(format!("+{capability}"));
            }
        }
        // setpriv sets it after changing the account, which would clear it.
        command.args(["--pdeathsig", orphan_signal, "--", "sh", "-c", UNLESS_ORPHANED]);
        command.arg(std::process::id().to_string()).arg(program).stdin(Stdio::null());
        command
    }

    /// Makes this account the owner of `path`.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match self.switch {
            Some(Switch { uid, gid, .. }) => chown(path, Some(uid), Some(gid)).map_err(Error::file(path)),
            None => Ok(()),
        }
    }

    fn has_access(&self, directory: &Path, programs: &[&Path]) -> bool {
        let mut command = self.command("sh", "KILL");
        command.args(["-c", CHECK_ACCESS]).arg(directory).args(programs).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

fn unprivileged() -> Result<(u32, u32), Error> {
    let path = "/etc/passwd";
    let accounts = fs::read_to_string(path).map_err(Error::file(path))?;
    accounts.lines().find_map(ids_of_unprivileged).ok_or(Error::NoAccount)
}

/// Returns the uid and gid in a line of `passwd(5)` if it describes [`UNPRIVILEGED`].
fn ids_of_unprivileged(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':');
    (fields.next()? == UNPRIVILEGED).then_some(())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_read() {
        assert_eq!(
            ids_of_unprivileged("postgres:x:101:102:PostgreSQL:/var/lib/postgresql:/bin/bash"),
            Some((101, 102))
        );
        assert_eq!(ids_of_unprivileged("postgresql:x:101:102::/:/bin/sh"), None);
        assert_eq!(ids_of_unprivileged("postgres"), None);
    }

    #[test]
    fn an_orphan_does_not_start() {
        let mut command = Command::new("sh");
        command.args(["-c", UNLESS_ORPHANED, "1", "true"]);
        assert!(!command.status().unwrap().success());
    }
}
