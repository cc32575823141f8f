//! What of the machine spoils what is measured.

use std::fs;
use std::thread;
use std::time::Duration;

use procfs::{CpuTime, CurrentSI as _, KernelStats};

use crate::error::Error;

/// Looked at for this long.
const LOOK: Duration = Duration::from_secs(1);

/// More than this share of the machine, taken by others, spoils what is measured.
const BUSY_SHARE_MAX: f64 = 0.1;

/// Warnings, each a line. To be called while the bench itself does nothing.
pub fn warnings() -> Result<Vec<String>, Error> {
    Ok(others_at_work()?.into_iter().chain(unfair_scheduling()).collect())
}

fn others_at_work() -> Result<Option<String>, Error> {
    let before = KernelStats::current()?.total;
    thread::sleep(LOOK);
    let share = busy_share(&before, &KernelStats::current()?.total);
    Ok((share > BUSY_SHARE_MAX).then(|| {
        format!("other programs take {:.0} % of this machine: no ratio below is to be relied on", share * 100.0)
    }))
}

/// Whether each session is a scheduling group (sched(7), the autogroup feature): each backend of Postgres makes one of its own.
/// Seen with Linux 6.18, where a group waited for a core for up to two seconds while others had theirs every few
/// milliseconds; in a control group there are none.
fn unfair_scheduling() -> Option<String> {
    let setting = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").ok()?;
    (setting.trim() == "1").then(|| {
        "kernel.sched_autogroup_enabled is 1: on a full machine a backend of PostgreSQL may not run for seconds, so that \
         logins are slow or refused, unless this runs in a control group; sysctl -w kernel.sched_autogroup_enabled=0"
            .to_owned()
    })
}

/// The share of the time between the two that was not idle.
#[expect(clippy::cast_precision_loss, reason = "a second has few ticks")]
fn busy_share(before: &CpuTime, after: &CpuTime) -> f64 {
    let idle = |time: &CpuTime| time.idle + time.iowait.unwrap_or_default();
    let busy = |time: &CpuTime| time.user + time.nice + time.system;
    let (idle, busy) = (idle(after).saturating_sub(idle(before)), busy(after).saturating_sub(busy(before)));
    busy as f64 / (idle + busy).max(1) as f64
}
