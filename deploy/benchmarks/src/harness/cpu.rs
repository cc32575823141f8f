//! CPU time of processes.

use std::time::Duration;

use procfs::process::Process;

use crate::error::Error;

/// Returns the user and system time of a process, with the resolution of the kernel's clock tick (10 ms).
pub fn cpu_time(pid: i32) -> Result<Duration, Error> {
    let stat = Process::new(pid)?.stat()?;
    Ok(Duration::from_millis((stat.utime + stat.stime) * 1000 / procfs::ticks_per_second()))
}
