//! The memory limit of this process's control group (cgroups(7)), which a container has.

use crate::settings::SettingError;

/// The file of version 2, in a container with a namespace of its own, and that of version 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

const MIB: u64 = 1024 * 1024;

/// Memory that each of these connections may take, in bytes.
const CONNECTION_BYTES: u64 = 25 * 1024;

/// Memory of the process itself, in bytes.
const PROCESS_BYTES: u64 = 24 * MIB;

/// The memory of a service that its settings determine, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryUse {
    /// The setting that determines most of it.
    pub setting: &'static str,
    /// What that setting alone determines.
    pub work: u64,
    /// Bodies; twice this while they are read.
    pub bodies: u64,
    /// `CONNECTIONS_MAX`.
    pub connections: usize,
}

impl MemoryUse {
    /// Fails if the settings allow more memory than the limit, at which the kernel kills the process.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_against(limit())
    }

    fn check_against(&self, limit: Option<u64>) -> Result<(), SettingError> {
        let connections = u64::try_from(self.connections).unwrap_or(u64::MAX);
        let needed = (self.bodies.saturating_mul(2))
            .saturating_add(connections.saturating_mul(CONNECTION_BYTES))
            .saturating_add(PROCESS_BYTES)
            .saturating_add(self.work);
        match limit {
            Some(limit) if needed > limit => Err(SettingError::new(
                self.setting,
                format!(
                    "too high for the memory limit of {} MiB: {} MiB may be used, {} MiB of it for this",
                    limit / MIB,
                    needed.div_ceil(MIB),
                    self.work.div_ceil(MIB)
                ),
                "lower, and so may BODY_MEMORY_BYTES and CONNECTIONS_MAX; or raise the limit",
            )),
            _ => Ok(()),
        }
    }
}

/// The limit in bytes; `None` without one.
fn limit() -> Option<u64> {
    let read = |file: &&str| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    LIMIT_FILES.iter().find_map(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_above_the_limit_are_refused_with_both_numbers() {
        let used = |work| MemoryUse { setting: "HASHING_THREADS", work, bodies: 32 << 20, connections: 4096 };
        assert_eq!(used(2 * 19 * MIB).check_against(Some(256 * MIB)), Ok(()));
        assert_eq!(used(64 * 19 * MIB).check_against(None), Ok(()));
        let error = used(64 * 19 * MIB).check_against(Some(256 * MIB)).unwrap_err().to_string();
        assert!(
            ["HASHING_THREADS", "1404 MiB", "1216 MiB", "256 MiB"].iter().all(|part| error.contains(part)),
            "{error}"
        );
    }
}
