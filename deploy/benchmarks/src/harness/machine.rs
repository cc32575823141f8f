//! Conditions of the machine that distort measurements.

use std::fs;
use std::thread;
use std::time::Duration;

use procfs::{CpuTime, CurrentSI as _, KernelStats};

use crate::error::Error;

/// Observation period.
const OBSERVE: Duration = Duration::from_secs(1);

/// Share of CPU time used by other programs above which measurements are unreliable.
const BUSY_SHARE_MAX: f64 = 0.1;

/// Returns warnings, a line each. Call it while the benchmark itself is idle.
pub fn warnings() -> Result<Vec<String>, Error> {
    Ok(others_at_work()?.into_iter().chain(unfair_scheduling()).collect())
}

fn others_at_work() -> Result<Option<String>, Error> {
    let before = KernelStats::current()?.total;
    thread::sleep(OBSERVE);
    let share = busy_share(&before, &KernelStats::current()?.total);
    Ok((share > BUSY_SHARE_MAX).then(|| {
        format!("other programs take {:.0} % of this machine: the ratios below are unreliable", share * 100.0)
    }))
}

/// Warns if autogroup scheduling (sched(7)) is on: each Postgres backend is a session and so a scheduling group. With Linux
/// 6.18 a group was seen waiting for a core for up to two seconds. Processes in a control group are not affected.
fn unfair_scheduling() -> Option<String> {
    let setting = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").ok()?;
    (setting.trim() == "1").then(|| {
        "kernel.sched_autogroup_enabled is 1: on a full machine a PostgreSQL backend may not run for seconds, so that \
         logins are slow or refused, unless this runs in a control group; set sysctl -w kernel.sched_autogroup_enabled=0"
            .to_owned()
    })
}

/// Returns the share of non-idle time between two samples.
#[expect(clippy::cast_precision_loss, reason = "a second has few ticks")]
fn busy_share(before: &CpuTime, after: &CpuTime) -> f64 {
    let idle = |time: &CpuTime| time.idle + time.iowait.unwrap_or_default();
    let busy = |time: &CpuTime| time.user + time.nice + time.system;
    let (idle, busy) = (idle(after).saturating_sub(idle(before)), busy(after).saturating_sub(busy(before)));
    busy as f64 / (idle + busy).max(1) as f64
}
