//! `auth-api serve`, `migrate`, `check`, `keys` and `healthcheck`: config → pools → App → serve.

use std::process::ExitCode;
use std::sync::Arc;

use auth_api::config::Config;
use auth_api::pictures::orphans::{self, Mode, Report};
use auth_api::tokens::keys;
use auth_api::tokens::ring::{KeyState, Ring};
use auth_api::{App, StartError, pictures, readiness, routes, store};
use shared::clock::Clock;
use shared::command::Command;
use shared::http::serve::{bind, serve, stop_signal};
use shared::random::Random;

const USAGE: &str = "auth-api: accounts, sign-in and tokens

Usage: auth-api serve | migrate | check | keys list | keys rotate | pictures sweep [--dry-run] | healthcheck | --help | --version

  serve        answers requests until SIGTERM or SIGINT
  migrate      brings the schema in Postgres up to date, once, however many replicas call it
  check        asks Postgres, Redis and media-server once, as it would with these settings
  keys list    shows the signing keys and what each does
  keys rotate  makes a new signing key, which running replicas take up by themselves, and signs nobody out; removes keys
               of which no token is good any more
  pictures sweep
               compares the pictures that media-server has with those that users have, as is done by itself every
               ORPHAN_SWEEP_INTERVAL_SECONDS: says which users' picture is missing, and notes for deletion what nobody
               has; with --dry-run it only counts
  healthcheck  asks the one that serves on LISTEN whether it can do its work

Settings (environment variables):
";

const SWEEP: &str = "pictures sweep";
const SWEEP_DRY_RUN: &str = "pictures sweep --dry-run";

const COMMAND: Command<Config> = Command {
    name: "auth-api",
    version: env!("CARGO_PKG_VERSION"),
    usage: USAGE,
    verbs: &["serve", "migrate", "check", "keys list", "keys rotate", SWEEP, SWEEP_DRY_RUN],
    read: Config::read,
    log: |config| &config.log,
    listen: |config| config.listen,
};

fn main() -> ExitCode {
    COMMAND.run(async |verb, config| match verb {
        "migrate" => migrate(&config).await,
        "check" => check(config).await,
        "keys list" => list_keys(&config),
        "keys rotate" => rotate_keys(&config),
        SWEEP => sweep_pictures(config, Mode::Note).await,
        SWEEP_DRY_RUN => sweep_pictures(config, Mode::DryRun).await,
        _ => serve_until_stopped(config).await,
    })
}

async fn migrate(config: &Config) -> Result<(), StartError> {
    let applied = store::migrations::run(&config.postgres.server).await?;
    tracing::info!(applied, "the schema is up to date");
    Ok(())
}

async fn check(config: Config) -> Result<(), StartError> {
    let app = App::new(config, Clock::system(), Random::system())?;
    readiness::check_all(&app).await?;
    tracing::info!("Postgres, Redis and media-server let us in");
    Ok(())
}

fn list_keys(config: &Config) -> Result<(), StartError> {
    show(&keys::list(&config.tokens.keys, config.tokens.key_times())?);
    Ok(())
}

fn rotate_keys(config: &Config) -> Result<(), StartError> {
    let (clock, random) = (Clock::system(), Random::system());
    let rotated = keys::rotate(&config.tokens.keys, config.tokens.key_times(), &clock, &random)?;
    for kid in rotated.removed {
        println!("{kid}  removed");
    }
    show(&rotated.ring);
    Ok(())
}

fn show(ring: &Ring) {
    let now = Clock::system().unix_seconds();
    for (key, state) in ring.states(now) {
        let does = match state {
            KeyState::Waits(from) => format!("signs in {} s", from.saturating_sub(now)),
            KeyState::Signs => "signs".to_owned(),
            KeyState::Verifies(until) => format!("verifies, for {} s more", until.saturating_sub(now)),
            KeyState::Over => "over".to_owned(),
        };
        println!("{}  {does}", key.kid());
    }
}

async fn sweep_pictures(config: Config, mode: Mode) -> Result<(), StartError> {
    let grace = config.orphan_grace.as_secs();
    let app = App::new(config, Clock::system(), Random::system())?;
    let Report { stored, orphans, missing, missing_of } = orphans::sweep(&app, mode).await?;
    println!("{stored} pictures are stored");
    match mode {
        Mode::Note => println!("{orphans} without an owner: noted, to be deleted in {grace} s"),
        Mode::DryRun => println!("{orphans} without an owner: nothing is done"),
    }
    println!("{missing} users whose picture is missing");
    for user_id in missing_of {
        println!("{user_id}");
    }
    Ok(())
}

async fn serve_until_stopped(config: Config) -> Result<(), StartError> {
    let (clock, random) = (Clock::system(), Random::system());
    let listen = config.listen;
    let limits = config.serve.clone();
    for name in &config.ignored_settings {
        tracing::warn!("{name} is set; it has no effect any more and is ignored");
    }
    let app = Arc::new(App::new(config, clock, random.clone())?);
    let listener = bind(listen).map_err(|error| StartError::Listen(listen, error))?;
    tokio::spawn(pictures::sweep_for_ever(Arc::clone(&app)));
    tokio::spawn(orphans::sweep_for_ever(Arc::clone(&app)));
    tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.tokens.watch_keys().await }
    });
    tokio::spawn(store::cache::listener::run(app.config.postgres.clone(), app.users.clone(), random.clone()));
    tracing::info!(%listen, version = env!("CARGO_PKG_VERSION"), "serving");
    serve(listener, routes::routes(&app), routes::NAMES, random, limits, stop_signal()).await;
    tracing::info!("stopped");
    Ok(())
}
