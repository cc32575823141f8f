//! Counts the bytes that metadata stripping looks at, in tests; nothing outside of them.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// Adds `bytes` that are looked at.
#[inline]
pub(super) fn add(bytes: usize) {
    #[cfg(test)]
    VISITS.set(VISITS.get() + bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// The bytes that this thread looks at during `work`.
#[cfg(test)]
pub(super) fn during(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}
