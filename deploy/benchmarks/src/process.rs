//! Processes of the bench's own.

use std::path::Path;
use std::process::{Command, Stdio};

/// A command for a process that ends when this one does, whatever this one dies of.
pub fn ends_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    // An ordinary user's own has no `sbin` on Debian.
    command
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
