//! `benchmarks`: see [`benchmarks::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    benchmarks::command::run(std::env::args().skip(1))
}
