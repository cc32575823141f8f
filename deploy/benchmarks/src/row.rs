//! What a row of the table is.

use std::time::Duration;

use crate::bench::Bench;
use crate::error::Error;

/// A row, before it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the table and on the command line.
    pub name: &'static str,
    /// What is measured, and against what.
    pub what: &'static str,
    /// How.
    pub measure: Measure,
}

/// How a row is measured.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Ours and its limit in turn; their ratio counts.
    Ratio {
        /// What both sides are told in.
        unit: Unit,
        /// What the median ratio must reach.
        reach: Reach,
        /// Prepares the two sides.
        pair: fn(&Bench) -> Result<Pair<'_>, Error>,
    },
    /// Two times that must be the same, in alternating tries; the median of their differences counts.
    Alike {
        /// How far apart they may be, as a share of the limit.
        within: f64,
        /// Makes the tries.
        tries: fn(&Bench) -> Result<Tries, Error>,
    },
    /// Memory, held against a bound.
    Memory {
        /// In MB (1,000,000 bytes).
        mb_max: f64,
        /// Reads it.
        read: fn(&Bench) -> Result<Sample, Error>,
    },
}

/// What a side's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A rate: more is better.
    PerSecond,
    /// A time: less is better.
    Milliseconds,
    /// CPU time of a request: less is better.
    CpuMilliseconds,
}

/// What the ratio ours : limit must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// Of rates.
    AtLeast(f64),
    /// Of times.
    AtMost(f64),
    /// Of times that must be the same: no farther from 1.
    Within(f64),
}

impl Reach {
    /// Whether `ratio` reaches it.
    #[must_use]
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
            Self::Within(share) => (ratio - 1.0).abs() <= share,
        }
    }
}

/// The two sides of a row. Each call measures for about the time it is given.
pub struct Pair<'a> {
    /// What we have built.
    pub ours: Side<'a>,
    /// What it is held against.
    pub limit: Side<'a>,
}

/// One side: measures once.
pub type Side<'a> = Box<dyn FnMut(Duration) -> Result<Sample, Error> + 'a>;

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// In the row's unit.
    pub value: f64,
    /// Requests that got no answer, or another than a 2xx. One is enough for the row to fail: a fast error is no speed.
    pub refused: u64,
}

/// A try of both sides and, as a measure of the noise, of the limit once more. In milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Of ours.
    pub ours: f64,
    /// Of what it must be like.
    pub limit: f64,
    /// Of the very same again.
    pub again: f64,
}

/// Tries, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Tries {
    /// All that count.
    pub all: Vec<Try>,
    /// Requests that got another answer than they should have.
    pub refused: u64,
}
