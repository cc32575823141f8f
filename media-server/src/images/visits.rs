//! Counts the work of metadata stripping in tests, in bytes looked at by what could repeat; nothing outside of them.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// Adds `bytes` that were looked at.
pub(super) fn add(bytes: usize) {
    #[cfg(test)]
    VISITS.set(VISITS.get() + bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// Bytes that this thread looked at during `work`.
#[cfg(test)]
pub(super) fn during(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}
