//! The work budget of one decode, and its stop signal.
//!
//! A decoder counts what it does in steps and spends them here. A file whose decoding would take more steps than its
//! pixels and bytes allow is rejected, and a decode whose outcome is no longer awaited ends at the next step that is
//! counted. A step takes about as long as reading one symbol of a prefix code: two to five nanoseconds.

use shared::worker_pool::StopSignal;

use super::Refusal;

/// Steps between two looks at the stop signal: less than a millisecond.
const CHECK_INTERVAL: u64 = 1 << 16;

/// Steps that every file may take: about a millisecond.
const BASE_STEPS: u64 = 1 << 18;

/// Counts the steps of one decode. The default one has no budget and is never stopped.
#[derive(Debug)]
pub struct Work {
    stop: StopSignal,
    spent: u64,
    budget: u64,
    next_check: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self::stopped_by(StopSignal::default())
    }
}

impl Work {
    /// Work that ends when `stop` is given. It has no budget until [`Self::limit`] sets one.
    pub fn stopped_by(stop: StopSignal) -> Self {
        Self { stop, spent: 0, budget: u64::MAX, next_check: 0 }
    }

    /// Sets the budget: so many steps for each pixel and for each byte of the file, and a constant number.
    pub(super) fn limit(&mut self, pixels: u64, bytes: u64, (per_pixel, per_byte): (u64, u64)) {
        let steps = pixels.saturating_mul(per_pixel).saturating_add(bytes.saturating_mul(per_byte));
        self.budget = self.spent.saturating_add(steps).saturating_add(BASE_STEPS);
        self.next_check = self.spent;
    }

    /// Counts `steps`, before they are taken where that is possible.
    #[inline]
    pub fn spend(&mut self, steps: u64) -> Result<(), Refusal> {
        self.spent = self.spent.saturating_add(steps);
        if self.spent < self.next_check { Ok(()) } else { self.check() }
    }

    /// Steps so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Steps that the file may take in all; [`u64::MAX`] before its size is known.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    #[cold]
    fn check(&mut self) -> Result<(), Refusal> {
        if self.stop.is_stopped() {
            return Err(Refusal::Stopped);
        }
        if self.spent > self.budget {
            return Err(Refusal::TooMuchWork { budget: self.budget });
        }
        self.next_check = self.spent.saturating_add(CHECK_INTERVAL).min(self.budget.saturating_add(1));
        Ok(())
    }
}
