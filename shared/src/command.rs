//! A service as a command: its verbs, `--help` and `--version`, and what its exit codes mean.
//!
//! Exit codes: 0, done or stopped by a signal; 1, a start or a health check failed; 2, a malformed setting or an unknown
//! verb. The reason is one line on standard error.

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::http::healthcheck::healthcheck;
use crate::settings::{SettingError, Settings};
use crate::telemetry::{self, LogConfig};

/// A service's command line: its verbs and its settings.
#[derive(Debug)]
pub struct Command<C> {
    /// Begins every line on standard error.
    pub name: &'static str,
    pub version: &'static str,
    /// Printed by `--help` before the settings.
    pub usage: &'static str,
    /// All but `healthcheck` and `check-settings`, which every service has; one word or more each.
    pub verbs: &'static [&'static str],
    pub read: fn(&mut Settings) -> Result<C, SettingError>,
    pub log: fn(&C) -> &LogConfig,
    /// The address that `healthcheck` asks.
    pub listen: fn(&C) -> SocketAddr,
}

const EXIT_USAGE: u8 = 2;

const HEALTHCHECK: &str = "healthcheck";

/// Reads the settings, and the files that they name, and connects to nothing.
const CHECK_SETTINGS: &str = "check-settings";

impl<C> Command<C> {
    /// Runs the command line: calls `act` with one of the verbs, inside a runtime, after logging has started.
    pub fn run<E: Display>(&self, act: impl AsyncFnOnce(&str, C) -> Result<(), E>) -> ExitCode {
        let verb = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        match verb.as_str() {
            "--help" | "-h" | "help" => self.help(),
            "--version" | "-V" => {
                println!("{} {}", self.name, self.version);
                ExitCode::SUCCESS
            }
            known if [HEALTHCHECK, CHECK_SETTINGS].contains(&known) || self.verbs.contains(&known) => {
                match (self.read)(&mut Settings::from_environment()) {
                    Ok(config) if known == HEALTHCHECK => self.report(healthcheck((self.listen)(&config))),
                    Ok(_) if known == CHECK_SETTINGS => ExitCode::SUCCESS,
                    Ok(config) => self.act(known, config, act),
                    Err(error) => self.usage_error(error),
                }
            }
            _ => {
                let verbs = self.verbs.join(", ");
                self.usage_error(format_args!(
                    "{verb:?} is no verb; it may be {verbs}, {CHECK_SETTINGS}, {HEALTHCHECK}, --help or --version"
                ))
            }
        }
    }

    fn help(&self) -> ExitCode {
        let mut settings = Settings::default();
        // The defaults are valid settings.
        let _ = (self.read)(&mut settings);
        print!("{}\n{}", self.usage, settings.help());
        ExitCode::SUCCESS
    }

    fn act<E: Display>(&self, verb: &str, config: C, act: impl AsyncFnOnce(&str, C) -> Result<(), E>) -> ExitCode {
        telemetry::start((self.log)(&config));
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.report(Err(format_args!("the runtime does not start: {error}"))),
        };
        let ended = runtime.block_on(act(verb, config));
        // Background tasks (reconciliation, deletions) are dropped here; each may stop at any await.
        runtime.shutdown_background();
        telemetry::stop();
        self.report(ended)
    }

    fn usage_error(&self, why: impl Display) -> ExitCode {
        eprintln!("{}: {why}", self.name);
        ExitCode::from(EXIT_USAGE)
    }

    fn report(&self, ended: Result<(), impl Display>) -> ExitCode {
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{}: {why}", self.name);
                ExitCode::FAILURE
            }
        }
    }
}
