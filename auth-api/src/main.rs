//! `auth-api serve`, `migrate` and `healthcheck`: config → pools → App → serve.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use auth_api::config::Config;
use auth_api::{App, StartError, pictures, routes, store};
use shared::clock::Clock;
use shared::http::healthcheck::healthcheck;
use shared::http::serve::{bind, serve, stop_signal};
use shared::random::Random;
use shared::settings::Settings;
use shared::telemetry;

const USAGE: &str = "auth-api: accounts, sign-in and tokens

Usage: auth-api serve | migrate | healthcheck | --help | --version

  serve        answers requests until SIGTERM or SIGINT
  migrate      brings the schema in Postgres up to date, once, however many replicas call it
  healthcheck  asks the one that serves on LISTEN whether it can do its work

Settings (environment variables):
";

/// A malformed setting or an unknown verb.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    match verb.as_str() {
        "--help" | "-h" | "help" => help(),
        "--version" | "-V" => {
            println!("auth-api {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        "serve" | "migrate" | "healthcheck" => match Config::read(&mut Settings::from_environment()) {
            Ok(config) if verb == "healthcheck" => check(config.listen),
            Ok(config) => run(&verb, config),
            Err(error) => {
                eprintln!("auth-api: {error}");
                ExitCode::from(EXIT_USAGE)
            }
        },
        _ => {
            eprintln!("auth-api: {verb:?} is no verb; it may be serve, migrate, healthcheck, --help or --version");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn help() -> ExitCode {
    let mut settings = Settings::default();
    // The defaults are good settings.
    let _ = Config::read(&mut settings);
    print!("{USAGE}\n{}", settings.help());
    ExitCode::SUCCESS
}

fn check(listen: SocketAddr) -> ExitCode {
    match healthcheck(listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(unwell) => {
            eprintln!("auth-api: {unwell}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &str, config: Config) -> ExitCode {
    telemetry::start(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("auth-api: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime
        .block_on(async { if verb == "migrate" { migrate(&config).await } else { serve_until_stopped(config).await } });
    // What still runs in the background (a sweep) is cut: it is made to be cut anywhere.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("auth-api: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn migrate(config: &Config) -> Result<(), StartError> {
    let applied = store::migrations::run(&config.postgres.server).await?;
    tracing::info!(applied, "the schema is up to date");
    Ok(())
}

async fn serve_until_stopped(config: Config) -> Result<(), StartError> {
    let (clock, random) = (Clock::system(), Random::system());
    let listen = config.listen;
    let limits = config.serve.clone();
    let app = Arc::new(App::new(config, clock, random.clone())?);
    let listener = bind(listen).map_err(|error| StartError::Listen(listen, error))?;
    tokio::spawn(pictures::sweep_for_ever(Arc::clone(&app)));
    tracing::info!(%listen, version = env!("CARGO_PKG_VERSION"), "serving");
    serve(listener, routes::routes(&app), routes::NAMES, random, limits, stop_signal()).await;
    tracing::info!("stopped");
    Ok(())
}
