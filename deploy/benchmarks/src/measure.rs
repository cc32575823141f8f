//! Measures a row.

use std::time::Duration;

use crate::bench::Bench;
use crate::error::Error;
use crate::row::{Measure, Pair, Reach, Row, Sample, Unit};

/// What a row came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The row's name.
    pub name: &'static str,
    /// Its figures.
    pub figures: Figures,
    /// Requests that were refused, in all measurements.
    pub refused: u64,
}

/// The figures of a row.
#[derive(Clone, Debug)]
pub enum Figures {
    /// Medians of the two sides, and their ratios.
    Ratio {
        /// What the sides are told in.
        unit: Unit,
        /// Of ours.
        ours: f64,
        /// Of the limit.
        limit: f64,
        /// Of each round, least first.
        ratios: Vec<f64>,
        /// What the median must be.
        reach: Reach,
    },
    /// Memory in MB.
    Memory {
        /// Held.
        mb: f64,
        /// Allowed.
        mb_max: f64,
    },
}

impl Outcome {
    /// Whether the row holds.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.refused == 0
            && match &self.figures {
                Figures::Ratio { ratios, reach, .. } => reach.is_met(median(ratios)),
                Figures::Memory { mb, mb_max } => mb <= mb_max,
            }
    }
}

/// Each side runs this long before it counts: connections, caches and statements are there then.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures `row`, telling each round on standard error.
pub fn measure(bench: &Bench, row: &Row) -> Result<Outcome, Error> {
    eprintln!("{}: {}", row.name, row.what);
    match row.measure {
        Measure::Ratio { unit, reach, pair } => {
            let rounds = alternate(bench, pair(bench)?)?;
            let values = |side: fn(&(Sample, Sample)) -> f64| sorted(rounds.iter().map(side).collect());
            Ok(Outcome {
                name: row.name,
                refused: rounds.iter().map(|(ours, limit)| ours.refused + limit.refused).sum(),
                figures: Figures::Ratio {
                    unit,
                    ours: median(&values(|(ours, _)| ours.value)),
                    limit: median(&values(|(_, limit)| limit.value)),
                    ratios: values(|(ours, limit)| ours.value / limit.value),
                    reach,
                },
            })
        }
        Measure::Memory { mb_max, read } => {
            let Sample { value: mb, refused } = read(bench)?;
            eprintln!("    {mb:.1} MB");
            Ok(Outcome { name: row.name, refused, figures: Figures::Memory { mb, mb_max } })
        }
    }
}

/// Ours, limit; limit, ours; and so on: what drifts in between befalls both.
fn alternate(bench: &Bench, mut pair: Pair<'_>) -> Result<Vec<(Sample, Sample)>, Error> {
    (pair.ours)(WARM_UP)?;
    (pair.limit)(WARM_UP)?;
    let mut rounds = Vec::new();
    for round in 0..bench.pace.rounds {
        let (ours, limit);
        if round % 2 == 0 {
            ours = (pair.ours)(bench.pace.time)?;
            limit = (pair.limit)(bench.pace.time)?;
        } else {
            limit = (pair.limit)(bench.pace.time)?;
            ours = (pair.ours)(bench.pace.time)?;
        }
        eprintln!("    ours {:.2}, limit {:.2}, ratio {:.3}", ours.value, limit.value, ours.value / limit.value);
        rounds.push((ours, limit));
        bench.check()?;
    }
    Ok(rounds)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The middle one of sorted values; of an even number of them, the mean of the two in the middle.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.wrapping_sub(1)), at(half)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[1.0, 2.0, 4.0, 9.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_row_with_one_refused_request_is_not_met() {
        let figures = Figures::Ratio {
            unit: Unit::PerSecond,
            ours: 9.0,
            limit: 10.0,
            ratios: vec![0.9],
            reach: Reach::AtLeast(0.9),
        };
        let met = Outcome { name: "me", figures, refused: 0 };
        assert!(met.is_met());
        assert!(!Outcome { refused: 1, ..met }.is_met());
    }
}
