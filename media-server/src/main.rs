//! `media-server serve`, `check` and `healthcheck`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use media_server::app::{App, StartError};
use media_server::config::{Config, HostAndPort};
use media_server::routes;
use shared::clock::Clock;
use shared::command::Command;
use shared::http::serve::{serve, stop_signal};
use shared::random::Random;
use tokio::net::TcpListener;

const USAGE: &str = "media-server: stores pictures and delivers them

Usage: media-server serve | check | check-settings | healthcheck | --help | --version

  serve        serves requests until SIGTERM or SIGINT
  check        validates the settings and writes to the storage once
  check-settings
               validates the settings and the memory that they need
  healthcheck  checks the readiness of the process that serves on LISTEN

Settings (environment variables):
";

const COMMAND: Command<Config> = Command {
    name: "media-server",
    version: env!("CARGO_PKG_VERSION"),
    usage: USAGE,
    verbs: &["serve", "check"],
    read: Config::read,
    log: |config| &config.log,
    listen: |config| config.listen,
};

fn main() -> ExitCode {
    COMMAND.run(
        async |verb, config| if verb == "check" { check(&config).await } else { serve_until_stopped(&config).await },
    )
}

/// Creating the `App` validates the settings.
async fn check(config: &Config) -> Result<(), StartError> {
    App::new(config, &Clock::system()).await?;
    tracing::info!("settings are valid, the storage can be written");
    Ok(())
}

async fn serve_until_stopped(config: &Config) -> Result<(), StartError> {
    let app = Arc::new(App::new(config, &Clock::system()).await?);
    let public = bind("LISTEN", config.listen)?;
    let internal = bind_own("WRITE_LISTEN", &config.write_listen).await?;
    let (listen, write_listen) = (config.listen, &config.write_listen);
    tracing::info!(%listen, %write_listen, version = env!("CARGO_PKG_VERSION"), "serving");
    let (random, limits) = (Random::system(), &config.serve);
    tokio::join!(
        serve(public, routes::public_api(), Arc::clone(&app), random.clone(), limits.clone(), stop_signal()),
        serve(internal, routes::internal_api(), Arc::clone(&app), random.clone(), limits.clone(), stop_signal()),
    );
    tracing::info!("stopped");
    Ok(())
}

fn bind(name: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    shared::http::serve::bind(address).map_err(|error| StartError::Listen { name, address: address.to_string(), error })
}

/// Listens on the first address of the name that belongs to this machine.
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
