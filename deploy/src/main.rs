//! `stack`: starts the whole stack, see [`deploy::up`].

use std::process::ExitCode;

fn main() -> ExitCode {
    deploy::up::run(std::env::args().skip(1))
}
