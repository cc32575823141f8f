//! Memory of processes, in MB (1,000,000 bytes).

use procfs::ProcError;
use procfs::process::Process;

use crate::error::Error;

/// Resident memory of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resident {
    pub now_mb: f64,
    pub peak_mb: f64,
}

/// Returns the resident set size of a process, the pages of its program included.
pub fn resident(pid: i32) -> Result<Resident, Error> {
    let status = Process::new(pid)?.status()?;
    let (now, peak) = (status.vmrss.unwrap_or_default(), status.vmhwm.unwrap_or_default());
    Ok(Resident { now_mb: megabytes(now * 1024), peak_mb: megabytes(peak * 1024) })
}

/// Returns the proportional set size of several processes, which counts shared pages once. Skips processes that have ended.
pub fn proportional_mb(pids: &[i32]) -> Result<f64, Error> {
    let mut bytes = 0;
    for pid in pids {
        let rollup = match Process::new(*pid).and_then(|process| process.smaps_rollup()) {
            Ok(rollup) => rollup,
            Err(ProcError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let maps = rollup.memory_map_rollup.into_iter();
        bytes += maps.filter_map(|map| map.extension.map.get("Pss").copied()).sum::<u64>();
    }
    Ok(megabytes(bytes))
}

#[expect(clippy::cast_precision_loss, reason = "no process has petabytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
