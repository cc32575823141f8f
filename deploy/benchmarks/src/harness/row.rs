//! Definition of a row.

use std::time::Duration;

use crate::error::Error;
use crate::harness::Bench;

/// A row of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name in the table and on the command line.
    pub name: &'static str,
    /// What is measured : its baseline.
    pub what: &'static str,
    pub measure: Measure,
}

/// How a row is measured.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Median ratio of candidate to baseline, measured alternately.
    Ratio { unit: Unit, target: Target, pair: fn(&Bench) -> Result<Pair<'_>, Error> },
    /// Equivalence test of two times: the median of paired differences.
    Equivalent {
        /// Tolerance, as a share of the baseline.
        within: f64,
        trials: fn(&Bench) -> Result<Trials, Error>,
    },
    /// Memory below a bound, in MB (1,000,000 bytes).
    Memory { mb_max: f64, read: fn(&Bench) -> Result<Sample, Error> },
}

/// Unit of a measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    PerSecond,
    Milliseconds,
    /// CPU time per request.
    CpuMilliseconds,
}

/// Required ratio of candidate to baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// At most this far from 1.
    Within(f64),
}

impl Target {
    /// Returns whether `ratio` meets the target.
    #[must_use]
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
            Self::Within(share) => (ratio - 1.0).abs() <= share,
        }
    }
}

/// The two sides of a row.
pub struct Pair<'a> {
    pub candidate: Side<'a>,
    pub baseline: Side<'a>,
}

/// A side of a row: measures once, for about the given time.
pub type Side<'a> = Box<dyn FnMut(Duration) -> Result<Sample, Error> + 'a>;

/// Result of one measurement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub value: f64,
    /// Requests without a 2xx response. One fails the row: fast errors are not speed.
    pub refused: u64,
}

/// Times of both sides and of an A/A control (the baseline again, as a measure of noise), in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub candidate: f64,
    pub baseline: f64,
    pub control: f64,
}

/// A series of trials.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    pub all: Vec<Trial>,
    /// Requests with an unexpected status.
    pub refused: u64,
}
