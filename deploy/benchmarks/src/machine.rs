//! What else the machine does.

use std::thread;
use std::time::Duration;

use procfs::{CpuTime, CurrentSI as _, KernelStats};

use crate::error::Error;

/// Looked at for this long.
const LOOK: Duration = Duration::from_secs(1);

/// More than this share of the machine, taken by others, spoils what is measured.
const BUSY_SHARE_MAX: f64 = 0.1;

/// A warning if other programs are at work. To be called while the bench itself does nothing.
pub fn warning() -> Result<Option<String>, Error> {
    let before = KernelStats::current()?.total;
    thread::sleep(LOOK);
    let share = busy_share(&before, &KernelStats::current()?.total);
    Ok((share > BUSY_SHARE_MAX).then(|| {
        format!("other programs take {:.0} % of this machine: no ratio below is to be relied on", share * 100.0)
    }))
}

/// The share of the time between the two that was not idle.
#[expect(clippy::cast_precision_loss, reason = "a second has few ticks")]
fn busy_share(before: &CpuTime, after: &CpuTime) -> f64 {
    let idle = |time: &CpuTime| time.idle + time.iowait.unwrap_or_default();
    let busy = |time: &CpuTime| time.user + time.nice + time.system;
    let (idle, busy) = (idle(after).saturating_sub(idle(before)), busy(after).saturating_sub(busy(before)));
    busy as f64 / (idle + busy).max(1) as f64
}
