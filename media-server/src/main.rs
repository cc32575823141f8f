//! `media-server serve` and `healthcheck`: config → App → two listeners.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use media_server::config::{Config, HostAndPort};
use media_server::{App, StartError, routes};
use shared::clock::Clock;
use shared::http::healthcheck::healthcheck;
use shared::http::serve::{serve, stop_signal};
use shared::random::Random;
use shared::settings::Settings;
use shared::telemetry;
use tokio::net::TcpListener;

const USAGE: &str = "media-server: stores pictures and delivers them

Usage: media-server serve | healthcheck | --help | --version

  serve        answers requests until SIGTERM or SIGINT
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
            println!("media-server {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        "serve" | "healthcheck" => match Config::read(&mut Settings::from_environment()) {
            Ok(config) if verb == "healthcheck" => check(config.listen),
            Ok(config) => run(&config),
            Err(error) => {
                eprintln!("media-server: {error}");
                ExitCode::from(EXIT_USAGE)
            }
        },
        _ => {
            eprintln!("media-server: {verb:?} is no verb; it may be serve, healthcheck, --help or --version");
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
            eprintln!("media-server: {unwell}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> ExitCode {
    telemetry::start(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("media-server: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(serve_until_stopped(config));
    // What still runs in the background (a sweep of the storage) is cut: it is made to be cut anywhere.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("media-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_until_stopped(config: &Config) -> Result<(), StartError> {
    let app = Arc::new(App::new(config, &Clock::system()).await?);
    let deliver = bind("LISTEN", config.listen)?;
    let write = bind_own("WRITE_LISTEN", &config.write_listen).await?;
    let (listen, write_listen) = (config.listen, &config.write_listen);
    tracing::info!(%listen, %write_listen, version = env!("CARGO_PKG_VERSION"), "serving");
    let (random, limits) = (Random::system(), &config.serve);
    tokio::join!(
        serve(
            deliver,
            routes::delivering(&app),
            routes::DELIVERING_NAMES,
            random.clone(),
            limits.clone(),
            stop_signal()
        ),
        serve(write, routes::writing(&app), routes::WRITING_NAMES, random.clone(), limits.clone(), stop_signal()),
    );
    tracing::info!("stopped");
    Ok(())
}

fn bind(name: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    shared::http::serve::bind(address).map_err(|error| StartError::Listen { name, address: address.to_string(), error })
}

/// Listens on the first address of the name that is this machine's own.
async fn bind_own(name: &'static str, address: &HostAndPort) -> Result<TcpListener, StartError> {
    let failed = |error| StartError::Listen { name, address: address.to_string(), error };
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in tokio::net::lookup_host(address.to_string()).await.map_err(failed)? {
        match shared::http::serve::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}
