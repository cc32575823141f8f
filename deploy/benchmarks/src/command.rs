//! The command `deploy/bench`: parses the arguments and runs the rows.

use std::path::Path;
use std::process::ExitCode;

use deploy::{Interrupt, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Error;
use crate::harness::baseline_server;
use crate::harness::bench::{Bench, RunLength};
use crate::harness::machine;
use crate::harness::measure::{RowResult, measure};
use crate::harness::row::Row;
use crate::harness::table::{columns, table};
use crate::rows;
use crate::rows::processes::processes;

/// Text of `--help`; the script prints it too, without building first.
const HELP: &str = include_str!("../bench.txt");

/// Exit code of a usage error.
const BAD_ARGUMENTS: u8 = 2;

enum Arguments {
    Help,
    List,
    BaselineServer(String),
    Measure(RunLength, Vec<Row>),
}

/// Runs the command with `arguments`, which exclude the program name.
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
        Ok(Arguments::BaselineServer(response)) => baseline_server::serve(Path::new(&response)).map(|()| true),
        Ok(Arguments::Measure(run_length, rows)) => bench(run_length, &rows),
        Err(message) => {
            eprintln!("{message}; see deploy/bench --help");
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
    if let [verb, response] = arguments.as_slice()
        && verb == baseline_server::VERB
    {
        return Ok(Arguments::BaselineServer(response.clone()));
    }
    let mut run_length = RunLength::FULL;
    let mut selected = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Arguments::Help),
            "--list" => return Ok(Arguments::List),
            "--quick" => run_length = RunLength::QUICK,
            name if rows::ALL.iter().any(|row| row.name.starts_with(name)) => selected.push(argument),
            _ => return Err(format!("{argument:?} is not a row; --list prints them")),
        }
    }
    let is_selected =
        |row: &Row| selected.is_empty() || selected.iter().any(|name| row.name.starts_with(name.as_str()));
    Ok(Arguments::Measure(run_length, rows::ALL.iter().copied().filter(is_selected).collect()))
}

/// Measures the rows and prints the table; returns whether all targets are met.
fn bench(run_length: RunLength, rows: &[Row]) -> Result<bool, Error> {
    allow_many_connections();
    let interrupt = Interrupt::by_signals().map_err(Error::file("signals"))?;
    let warnings = machine::warnings()?;
    for warning in &warnings {
        eprintln!("{warning}");
    }
    let bench = Bench::new(run_length, interrupt)?;
    bench.large()?;
    let mut memory = processes(bench.large()?)?;
    let mut results: Vec<RowResult> = Vec::new();
    for row in rows {
        results.push(measure(&bench, row)?);
        bench.check()?;
        for ((_, _, peak), (_, _, peak_now)) in memory.iter_mut().zip(processes(bench.large()?)?) {
            *peak = peak.max(peak_now);
        }
    }
    println!("\n{}\n{}", table(&results), memory_table(&memory));
    for warning in warnings {
        println!("\n{warning}");
    }
    Ok(results.iter().all(RowResult::is_met))
}

/// Raises the soft limit of open files, which the stack inherits: a thousand clients exceed a shell's default.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    // If it can't be raised, the row that needs it fails with an error.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn memory_table(memory: &[(Service, f64, f64)]) -> String {
    let mut lines = vec![["memory", "before", "peak of the largest process", ""].map(ToOwned::to_owned)];
    for (service, before, peak) in memory {
        lines.push([service.to_string(), format!("{before:.1} MB"), format!("{peak:.1} MB"), String::new()]);
    }
    columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(arguments: &[&str]) -> Vec<&'static str> {
        match parse(arguments.iter().map(|&argument| argument.to_owned())) {
            Ok(Arguments::Measure(_, rows)) => rows.iter().map(|row| row.name).collect(),
            _ => panic!("no rows to measure"),
        }
    }

    #[test]
    fn rows_are_selected_by_a_prefix_of_their_name() {
        assert_eq!(selected(&["--quick", "me-"]), ["me-nginx"]);
        assert_eq!(selected(&["growth"]), ["growth-me", "growth-login", "growth-refresh"]);
        assert_eq!(selected(&[]).len(), rows::ALL.len());
        assert!(parse(["nothing".to_owned()].into_iter()).is_err());
    }
}
