//! `deploy/bench`: its arguments, and the run.

use std::path::Path;
use std::process::ExitCode;

use deploy::{Interrupt, Part};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bare;
use crate::bench::{Bench, Pace};
use crate::error::Error;
use crate::machine;
use crate::measure::{Outcome, measure};
use crate::row::Row;
use crate::rows;
use crate::rows::processes::processes;
use crate::table::{columns, table};

/// What `--help` says; the script shows it, too, without building first.
const HELP: &str = include_str!("../bench.txt");

/// Exit code for arguments that make no sense.
const BAD_ARGUMENTS: u8 = 2;

enum Arguments {
    Help,
    List,
    Bare(String),
    Measure(Pace, Vec<Row>),
}

/// Runs the command with `arguments`, the program's own name not among them.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let done = match parse(arguments) {
        Ok(Arguments::Help) => {
            print!("{HELP}");
            Ok(true)
        }
        Ok(Arguments::List) => {
            let lines: Vec<_> = rows::ALL.iter().map(|row| [row.name.to_owned(), row.what.to_owned()]).collect();
            print!("{}", columns(&lines));
            Ok(true)
        }
        Ok(Arguments::Bare(answer)) => bare::serve(Path::new(&answer)).map(|()| true),
        Ok(Arguments::Measure(pace, rows)) => bench(pace, &rows),
        Err(message) => {
            eprintln!("{message}; deploy/bench --help says more");
            return ExitCode::from(BAD_ARGUMENTS);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let arguments: Vec<String> = arguments.collect();
    if let [verb, answer] = arguments.as_slice()
        && verb == bare::VERB
    {
        return Ok(Arguments::Bare(answer.clone()));
    }
    let mut pace = Pace::FULL;
    let mut asked = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Arguments::Help),
            "--list" => return Ok(Arguments::List),
            "--quick" => pace = Pace::QUICK,
            name if rows::ALL.iter().any(|row| row.name.starts_with(name)) => asked.push(argument),
            _ => return Err(format!("{argument:?} is no row; --list prints them")),
        }
    }
    let is_asked = |row: &Row| asked.is_empty() || asked.iter().any(|name| row.name.starts_with(name.as_str()));
    Ok(Arguments::Measure(pace, rows::ALL.iter().copied().filter(is_asked).collect()))
}

/// Measures and prints; true where all is met.
fn bench(pace: Pace, rows: &[Row]) -> Result<bool, Error> {
    allow_many_connections();
    let interrupt = Interrupt::by_signals().map_err(Error::file("signals"))?;
    let warnings = machine::warnings()?;
    for warning in &warnings {
        eprintln!("{warning}");
    }
    let bench = Bench::new(pace, interrupt)?;
    bench.large()?;
    let mut held = processes(bench.large()?)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for row in rows {
        outcomes.push(measure(&bench, row)?);
        bench.check()?;
        for ((_, _, peak), (_, _, peak_now)) in held.iter_mut().zip(processes(bench.large()?)?) {
            *peak = peak.max(peak_now);
        }
    }
    println!("\n{}\n{}", table(&outcomes), memory_table(&held));
    for warning in warnings {
        println!("\n{warning}");
    }
    Ok(outcomes.iter().all(Outcome::is_met))
}

/// A thousand clients take more descriptors than a shell allows at first; the stack inherits what we have.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, the row that needs it says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn memory_table(held: &[(Part, f64, f64)]) -> String {
    let mut lines = vec![["memory", "before", "most, its largest process", ""].map(ToOwned::to_owned)];
    for (part, before, most) in held {
        lines.push([part.to_string(), format!("{before:.1} MB"), format!("{most:.1} MB"), String::new()]);
    }
    columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Vec<&'static str> {
        match parse(arguments.iter().map(|&argument| argument.to_owned())) {
            Ok(Arguments::Measure(_, rows)) => rows.iter().map(|row| row.name).collect(),
            _ => panic!("no rows to measure"),
        }
    }

    #[test]
    fn a_row_is_asked_for_by_the_beginning_of_its_name() {
        assert_eq!(asked(&["--quick", "me-"]), ["me-nginx"]);
        assert_eq!(asked(&["growth"]), ["growth-me", "growth-login", "growth-refresh"]);
        assert_eq!(asked(&[]).len(), rows::ALL.len());
        assert!(parse(["nothing".to_owned()].into_iter()).is_err());
    }
}
