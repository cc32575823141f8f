//! The table.

use std::fmt::Write as _;

use crate::measure::{Figures, Outcome, median};
use crate::row::{Reach, Unit};

const HEAD: [&str; 7] = ["row", "ours", "limit", "median ratio", "spread", "reach", ""];

/// All outcomes, one line each, in columns.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut lines = vec![HEAD.map(ToOwned::to_owned)];
    lines.extend(outcomes.iter().map(cells));
    columns(&lines)
}

/// Lines of as many cells, the first column to the left and the others to the right, the last as it comes.
#[must_use]
pub fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            // Writing to a `String` can't fail.
            let _ = match column {
                0 => write!(shown, "{cell:<width$}"),
                last if last + 1 == N => write!(shown, "   {cell}"),
                _ => write!(shown, "   {cell:>width$}"),
            };
        }
        text += shown.trim_end();
        text.push('\n');
    }
    text
}

fn cells(outcome: &Outcome) -> [String; 7] {
    let verdict = match (outcome.refused, outcome.is_met()) {
        (0, true) => "met".to_owned(),
        (0, false) => "NOT MET".to_owned(),
        (refused, _) => format!("NOT MET: {refused} requests refused"),
    };
    let name = outcome.name.to_owned();
    match &outcome.figures {
        Figures::Ratio { unit, ours, limit, ratios, reach } => {
            let least = ratios.first().copied().unwrap_or(f64::NAN);
            let most = ratios.last().copied().unwrap_or(f64::NAN);
            [
                name,
                value(*unit, *ours),
                value(*unit, *limit),
                format!("{:.3}", median(ratios)),
                format!("{least:.2}-{most:.2}"),
                match reach {
                    Reach::AtLeast(least) => format!("≥ {least:.2}"),
                    Reach::AtMost(most) => format!("≤ {most:.2}"),
                    Reach::Within(share) => format!("1 ± {share:.2}"),
                },
                verdict,
            ]
        }
        Figures::Memory { mb, mb_max } => [
            name,
            format!("{mb:.1} MB"),
            String::new(),
            String::new(),
            String::new(),
            format!("≤ {mb_max:.0} MB"),
            verdict,
        ],
    }
}

fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::PerSecond if value < 1000.0 => format!("{value:.1} /s"),
        Unit::PerSecond => format!("{value:.0} /s"),
        Unit::Milliseconds => format!("{value:.2} ms"),
        Unit::CpuMilliseconds => format!("{value:.1} ms CPU"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = [["row", "≥ 1", "x"], ["longer", "2", "y"]].map(|line| line.map(ToOwned::to_owned));
        assert_eq!(columns(&lines), "row      ≥ 1   x\nlonger     2   y\n");
    }
}
