//! The work budget of one decode, and its stop signal.
//!
//! Decoders spend steps here. A file that needs more steps than its pixels and bytes allow is rejected, and a cancelled decode
//! ends at its next check. A step takes about as long as reading one prefix-coded symbol: two to five nanoseconds.

use shared::worker_pool::StopSignal;

use super::ImageError;

/// Steps between two checks of the stop signal: less than a millisecond.
const CHECK_INTERVAL: u64 = 1 << 16;

/// Constant part of every budget: about a millisecond.
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
    /// Returns work that fails once `stop` is set. It has no budget until [`Self::limit`] sets one.
    pub fn stopped_by(stop: StopSignal) -> Self {
        Self { stop, spent: 0, budget: u64::MAX, next_check: 0 }
    }

    /// Sets the budget: steps per pixel and per byte of the file, plus [`BASE_STEPS`].
    pub(super) fn limit(&mut self, pixels: u64, bytes: u64, (per_pixel, per_byte): (u64, u64)) {
        let steps = pixels.saturating_mul(per_pixel).saturating_add(bytes.saturating_mul(per_byte));
        self.budget = self.spent.saturating_add(steps).saturating_add(BASE_STEPS);
        self.next_check = self.spent;
    }

    /// Counts `steps`, before the work is done if possible.
    #[inline]
    pub fn spend(&mut self, steps: u64) -> Result<(), ImageError> {
        self.spent = self.spent.saturating_add(steps);
        if self.spent < self.next_check { Ok(()) } else { self.check() }
    }

    /// Returns the steps so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Returns the budget; [`u64::MAX`] before the dimensions are known.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    #[cold]
    fn check(&mut self) -> Result<(), ImageError> {
        if self.stop.is_stopped() {
            return Err(ImageError::Stopped);
        }
        if self.spent > self.budget {
            return Err(ImageError::TooMuchWork { budget: self.budget });
        }
        self.next_check = self.spent.saturating_add(CHECK_INTERVAL).min(self.budget.saturating_add(1));
        Ok(())
    }
}
