//! Measures a row.

use std::time::Duration;

use tokio::time::Instant;

use crate::bench::Bench;
use crate::error::Error;
use crate::row::{Measure, Pair, Reach, Row, Sample, Tries, Try, Unit};

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
        Measure::Alike { within, tries } => {
            let tries = quiet_tries(bench, within, tries)?;
            let middle = |side: fn(&Try) -> f64| median(&sorted(tries.all.iter().map(side).collect()));
            let figures = Figures::Ratio {
                unit: Unit::Milliseconds,
                ours: middle(|one| one.ours),
                limit: middle(|one| one.limit),
                ratios: shift(&tries, |one| one.ours).to_vec(),
                reach: Reach::Within(within),
            };
            Ok(Outcome { name: row.name, refused: tries.refused, figures })
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

/// How often tries are made at most, where the machine is too noisy to tell.
const ATTEMPTS_MAX: usize = 5;

/// Tries of which the same against itself differs by no more than what is looked for.
fn quiet_tries(bench: &Bench, within: f64, tries: fn(&Bench) -> Result<Tries, Error>) -> Result<Tries, Error> {
    let mut attempt = 1;
    loop {
        let made = tries(bench)?;
        bench.check()?;
        let [least, middle, most] = shift(&made, |one| one.again);
        eprintln!("    the same against itself {middle:.4} ({least:.4}-{most:.4})");
        if Reach::Within(within).is_met(middle) || attempt == ATTEMPTS_MAX {
            return Ok(made);
        }
        attempt += 1;
    }
}

/// By how much `side` is slower than the limit: 1 and the median of the differences, as a share of the limit's median, in
/// the middle of its 95 % confidence interval (by order statistics: no assumption on how times are spread). A try's two
/// sides are made one after the other, so what slows the machine down for a while falls out of their difference.
fn shift(tries: &Tries, side: fn(&Try) -> f64) -> [f64; 3] {
    let limit = median(&sorted(tries.all.iter().map(|one| one.limit).collect()));
    let differences = sorted(tries.all.iter().map(|one| side(one) - one.limit).collect());
    let (count, away) = (differences.len(), interval(differences.len()));
    let at = |index: usize| differences.get(index).copied().unwrap_or(f64::NAN);
    let least = at((count / 2).saturating_sub(away));
    let most = at(count.div_ceil(2).saturating_sub(1) + away);
    [least, median(&differences), most].map(|difference| 1.0 + difference / limit)
}

/// How many ranks the ends of a median's 95 % confidence interval are away from it: 1.96 standard deviations, √n / 2 each.
fn interval(count: usize) -> usize {
    const DEVIATIONS_PERCENT: usize = 196;
    (count * DEVIATIONS_PERCENT * DEVIATIONS_PERCENT).isqrt() / 200
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

/// The median of what one try after the other gives, for `time`.
pub async fn median_over(time: Duration, mut once: impl AsyncFnMut() -> Result<f64, Error>) -> Result<f64, Error> {
    let (mut values, since) = (Vec::new(), Instant::now());
    while since.elapsed() < time {
        values.push(once().await?);
    }
    Ok(median(&sorted(values)))
}

/// A time as rows tell it.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
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
    fn what_slows_both_down_is_no_difference() {
        let drift = |number: u32| 20.0 + 20.0 * f64::from(number % 50);
        let noise = |number: u32| f64::from(number * 7 % 11) - 5.0;
        let one = |number| Try {
            limit: drift(number),
            ours: drift(number) + 51.0 + noise(number),
            again: drift(number) + noise(number),
        };
        let tries = Tries { all: (0..200).map(one).collect(), refused: 0 };
        let [least, middle, most] = shift(&tries, |one| one.ours);
        assert!(least <= middle && middle <= most && most - least < 0.01, "{least} {middle} {most}");
        assert!((middle - 1.1).abs() < 0.01 && !Reach::Within(0.03).is_met(middle), "{middle}");
        assert!(Reach::Within(0.03).is_met(shift(&tries, |one| one.again)[1]));
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
