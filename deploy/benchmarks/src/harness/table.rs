//! The table of results.

use std::fmt::Write as _;

use crate::harness::measure::{Figures, RowResult, median};
use crate::harness::row::{Target, Unit};

const HEAD: [&str; 7] = ["row", "candidate", "baseline", "median ratio", "spread", "target", ""];

/// Formats the results, a line each, in columns.
#[must_use]
pub fn table(results: &[RowResult]) -> String {
    let mut lines = vec![HEAD.map(ToOwned::to_owned)];
    lines.extend(results.iter().map(cells));
    columns(&lines)
}

/// Aligns lines of cells: the first column left, the others right, the last one not.
#[must_use]
pub fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            // Writing to a `String` can't fail.
            let _ = match column {
                0 => write!(row, "{cell:<width$}"),
                last if last + 1 == N => write!(row, "   {cell}"),
                _ => write!(row, "   {cell:>width$}"),
            };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

fn cells(result: &RowResult) -> [String; 7] {
    let verdict = match (result.refused, result.is_met()) {
        (0, true) => "met".to_owned(),
        (0, false) => "NOT MET".to_owned(),
        (refused, _) => format!("NOT MET: {refused} requests refused"),
    };
    let name = result.name.to_owned();
    match &result.figures {
        Figures::Ratio { unit, candidate, baseline, ratios, target } => {
            let least = ratios.first().copied().unwrap_or(f64::NAN);
            let most = ratios.last().copied().unwrap_or(f64::NAN);
            [
                name,
                value(*unit, *candidate),
                value(*unit, *baseline),
                format!("{:.3}", median(ratios)),
                format!("{least:.2}-{most:.2}"),
                match target {
                    Target::AtLeast(least) => format!("≥ {least:.2}"),
                    Target::AtMost(most) => format!("≤ {most:.2}"),
                    Target::Within(share) => format!("1 ± {share:.2}"),
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
