//! Measures a row.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::row::{Measure, Pair, Row, Sample, Target, Trial, Trials, Unit};

/// The result of a row.
#[derive(Clone, Debug)]
pub struct RowResult {
    pub name: &'static str,
    pub figures: Figures,
    /// Refused requests in all measurements.
    pub refused: u64,
}

/// The measured figures of a row.
#[derive(Clone, Debug)]
pub enum Figures {
    /// Medians of both sides, and the sorted ratios of all rounds; their median must meet the target.
    Ratio {
        unit: Unit,
        candidate: f64,
        baseline: f64,
        ratios: Vec<f64>,
        target: Target,
    },
    Memory {
        mb: f64,
        mb_max: f64,
    },
}

impl RowResult {
    /// Returns whether the row meets its target without a refused request.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.refused == 0
            && match &self.figures {
                Figures::Ratio { ratios, target, .. } => target.is_met(median(ratios)),
                Figures::Memory { mb, mb_max } => mb <= mb_max,
            }
    }
}

/// Unmeasured run of each side, which opens connections and fills caches.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures `row`, printing each round to standard error.
pub fn measure(bench: &Bench, row: &Row) -> Result<RowResult, Error> {
    eprintln!("{}: {}", row.name, row.what);
    match row.measure {
        Measure::Ratio { unit, target, pair } => {
            let rounds = alternate(bench, pair(bench)?)?;
            let values = |side: fn(&(Sample, Sample)) -> f64| sorted(rounds.iter().map(side).collect());
            Ok(RowResult {
                name: row.name,
                refused: rounds.iter().map(|(candidate, baseline)| candidate.refused + baseline.refused).sum(),
                figures: Figures::Ratio {
                    unit,
                    candidate: median(&values(|(candidate, _)| candidate.value)),
                    baseline: median(&values(|(_, baseline)| baseline.value)),
                    ratios: values(|(candidate, baseline)| candidate.value / baseline.value),
                    target,
                },
            })
        }
        Measure::Equivalent { within, trials } => {
            let trials = quiet_trials(bench, within, trials)?;
            let middle = |side: fn(&Trial) -> f64| median(&sorted(trials.all.iter().map(side).collect()));
            let figures = Figures::Ratio {
                unit: Unit::Milliseconds,
                candidate: middle(|one| one.candidate),
                baseline: middle(|one| one.baseline),
                ratios: shift(&trials, |one| one.candidate).to_vec(),
                target: Target::Within(within),
            };
            Ok(RowResult { name: row.name, refused: trials.refused, figures })
        }
        Measure::Memory { mb_max, read } => {
            let Sample { value: mb, refused } = read(bench)?;
            eprintln!("    {mb:.1} MB");
            Ok(RowResult { name: row.name, refused, figures: Figures::Memory { mb, mb_max } })
        }
    }
}

/// Measures both sides in ABBA order, so that drift affects both.
fn alternate(bench: &Bench, mut pair: Pair<'_>) -> Result<Vec<(Sample, Sample)>, Error> {
    (pair.candidate)(WARM_UP)?;
    (pair.baseline)(WARM_UP)?;
    let mut rounds = Vec::new();
    for round in 0..bench.run_length.rounds {
        let (candidate, baseline);
        if round % 2 == 0 {
            candidate = (pair.candidate)(bench.run_length.time)?;
            baseline = (pair.baseline)(bench.run_length.time)?;
        } else {
            baseline = (pair.baseline)(bench.run_length.time)?;
            candidate = (pair.candidate)(bench.run_length.time)?;
        }
        eprintln!(
            "    candidate {:.2}, baseline {:.2}, ratio {:.3}",
            candidate.value,
            baseline.value,
            candidate.value / baseline.value
        );
        rounds.push((candidate, baseline));
        bench.check()?;
    }
    Ok(rounds)
}

/// Maximum number of attempts on a noisy machine.
const ATTEMPTS_MAX: usize = 5;

/// Repeats the trials until their A/A control is within the tolerance.
fn quiet_trials(bench: &Bench, within: f64, trials: fn(&Bench) -> Result<Trials, Error>) -> Result<Trials, Error> {
    let mut attempt = 1;
    loop {
        let made = trials(bench)?;
        bench.check()?;
        let [least, middle, most] = shift(&made, |one| one.control);
        eprintln!("    A/A control {middle:.4} ({least:.4}-{most:.4})");
        if Target::Within(within).is_met(middle) || attempt == ATTEMPTS_MAX {
            return Ok(made);
        }
        attempt += 1;
    }
}

/// Returns the ratio of `side` to the baseline with its 95 % confidence interval: 1 + the median of paired differences /
/// the baseline's median, the interval by order statistics. The sides of a trial run back to back, so slow drift cancels.
fn shift(trials: &Trials, side: fn(&Trial) -> f64) -> [f64; 3] {
    let baseline = median(&sorted(trials.all.iter().map(|one| one.baseline).collect()));
    let differences = sorted(trials.all.iter().map(|one| side(one) - one.baseline).collect());
    let (count, half_width) = (differences.len(), interval_ranks(differences.len()));
    let at = |index: usize| differences.get(index).copied().unwrap_or(f64::NAN);
    let least = at((count / 2).saturating_sub(half_width));
    let most = at(count.div_ceil(2).saturating_sub(1) + half_width);
    [least, median(&differences), most].map(|difference| 1.0 + difference / baseline)
}

/// Returns half the width of a median's 95 % confidence interval, in ranks: 1.96 standard deviations of √n / 2.
fn interval_ranks(count: usize) -> usize {
    const DEVIATIONS_PERCENT: usize = 196;
    (count * DEVIATIONS_PERCENT * DEVIATIONS_PERCENT).isqrt() / 200
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the median of sorted values.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.wrapping_sub(1)), at(half)) }
}

/// Repeats a measurement for `time` and returns the median.
pub async fn median_over(time: Duration, mut once: impl AsyncFnMut() -> Result<f64, Error>) -> Result<f64, Error> {
    let (mut values, since) = (Vec::new(), Instant::now());
    while since.elapsed() < time {
        values.push(once().await?);
    }
    Ok(median(&sorted(values)))
}

/// Returns a duration in milliseconds.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle_two() {
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[1.0, 2.0, 4.0, 9.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn drift_that_affects_both_sides_cancels() {
        let drift = |number: u32| 20.0 + 20.0 * f64::from(number % 50);
        let noise = |number: u32| f64::from(number * 7 % 11) - 5.0;
        let one = |number| Trial {
            baseline: drift(number),
            candidate: drift(number) + 51.0 + noise(number),
            control: drift(number) + noise(number),
        };
        let trials = Trials { all: (0..200).map(one).collect(), refused: 0 };
        let [least, middle, most] = shift(&trials, |one| one.candidate);
        assert!(least <= middle && middle <= most && most - least < 0.01, "{least} {middle} {most}");
        assert!((middle - 1.1).abs() < 0.01 && !Target::Within(0.03).is_met(middle), "{middle}");
        assert!(Target::Within(0.03).is_met(shift(&trials, |one| one.control)[1]));
    }

    #[test]
    fn a_refused_request_fails_the_row() {
        let figures = Figures::Ratio {
            unit: Unit::PerSecond,
            candidate: 9.0,
            baseline: 10.0,
            ratios: vec![0.9],
            target: Target::AtLeast(0.9),
        };
        let met = RowResult { name: "me", figures, refused: 0 };
        assert!(met.is_met());
        assert!(!RowResult { refused: 1, ..met }.is_met());
    }
}
