//! Counts, in tests only, the bytes that metadata stripping visits.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// Counts visited bytes.
#[inline]
pub(super) fn add(bytes: usize) {
    #[cfg(test)]
    VISITS.set(VISITS.get() + bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// Returns the bytes that this thread visits during `work`.
#[cfg(test)]
pub(super) fn during(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}
