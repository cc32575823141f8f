//! A service as a command: its verbs, `--help` and `--version`, and what its exit codes mean.
//!
//! 0: done, or stopped as asked. 1: it can't start, or is not well. 2: a malformed setting or an unknown verb. What is
//! wrong is one line on standard error.

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::http::healthcheck::healthcheck;
use crate::settings::{SettingError, Settings};
use crate::telemetry::{self, LogConfig};

/// What a service's `main` tells of it.
#[derive(Debug)]
pub struct Command<C> {
    /// Its name, which begins every line on standard error.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What `--help` prints before the settings.
    pub usage: &'static str,
    /// Its verbs, of one word or more; `healthcheck` left out, which every service has.
    pub verbs: &'static [&'static str],
    /// Reads the settings.
    pub read: fn(&mut Settings) -> Result<C, SettingError>,
    /// How it logs.
    pub log: fn(&C) -> &LogConfig,
    /// Where it answers, for `healthcheck`.
    pub listen: fn(&C) -> SocketAddr,
}

/// A malformed setting or an unknown verb.
const EXIT_USAGE: u8 = 2;

const HEALTHCHECK: &str = "healthcheck";

impl<C> Command<C> {
    /// Does what the command line asks: `act` is called with one of the verbs, in a runtime, with logging started.
    pub fn run<E: Display>(&self, act: impl AsyncFnOnce(&str, C) -> Result<(), E>) -> ExitCode {
        let verb = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        match verb.as_str() {
            "--help" | "-h" | "help" => self.help(),
            "--version" | "-V" => {
                println!("{} {}", self.name, self.version);
                ExitCode::SUCCESS
            }
            known if known == HEALTHCHECK || self.verbs.contains(&known) => {
                match (self.read)(&mut Settings::from_environment()) {
                    Ok(config) if known == HEALTHCHECK => self.told(healthcheck((self.listen)(&config))),
                    Ok(config) => self.act(known, config, act),
                    Err(error) => self.misused(error),
                }
            }
            _ => {
                let verbs = self.verbs.join(", ");
                self.misused(format_args!("{verb:?} is no verb; it may be {verbs}, {HEALTHCHECK}, --help or --version"))
            }
        }
    }

    fn help(&self) -> ExitCode {
        let mut settings = Settings::default();
        // The defaults are good settings.
        let _ = (self.read)(&mut settings);
        print!("{}\n{}", self.usage, settings.help());
        ExitCode::SUCCESS
    }

    fn act<E: Display>(&self, verb: &str, config: C, act: impl AsyncFnOnce(&str, C) -> Result<(), E>) -> ExitCode {
        telemetry::start((self.log)(&config));
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.told(Err(format_args!("the runtime does not start: {error}"))),
        };
        let ended = runtime.block_on(act(verb, config));
        // What still runs in the background (a sweep) is cut: it is made to be cut anywhere.
        runtime.shutdown_background();
        telemetry::stop();
        self.told(ended)
    }

    fn misused(&self, why: impl Display) -> ExitCode {
        eprintln!("{}: {why}", self.name);
        ExitCode::from(EXIT_USAGE)
    }

    fn told(&self, ended: Result<(), impl Display>) -> ExitCode {
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{}: {why}", self.name);
                ExitCode::FAILURE
            }
        }
    }
}
