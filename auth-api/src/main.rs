//! `auth-api serve`, `migrate`, `check`, `keys` and `healthcheck`: config → pools → App → serve.

use std::process::ExitCode;
use std::sync::Arc;

use auth_api::app::{App, StartError};
use auth_api::config::Config;
use auth_api::handlers::health;
use auth_api::pictures::outbox;
use auth_api::pictures::reconcile::{self, Mode, Report};
use auth_api::store::migrations::Migrated;
use auth_api::tokens::key_set::{KeySet, KeyState};
use auth_api::tokens::{KeySource, RefreshAlgorithm, TokenType, key_store};
use auth_api::{routes, store};
use shared::clock::Clock;
use shared::command::Command;
use shared::http::serve::{bind, serve, stop_signal};
use shared::random::Random;

const USAGE: &str = "auth-api: accounts, sessions and tokens

Usage: auth-api serve | migrate | check | check-settings | keys list | keys rotate | pictures sweep [--dry-run] | healthcheck | --help | --version

  serve        serves requests until SIGTERM or SIGINT
  migrate      migrates the schema in Postgres; safe to run concurrently
  check        checks the connections to Postgres, Redis and media-server with these settings
  check-settings
               checks these settings, their files and the memory that they need, without a connection
  keys list    lists the signing keys of access tokens, the refresh secrets and their states
  keys rotate  generates a new signing key and a new refresh secret, which running replicas load, and removes retired ones;
               tokens stay valid
  pictures sweep
               reconciles the pictures stored by media-server with their owners, as the service does every
               ORPHAN_SWEEP_INTERVAL_SECONDS: lists users whose picture is missing, and enqueues the deletion of pictures
               without an owner; with --dry-run it only counts them
  healthcheck  checks whether the service that listens on LISTEN is ready

Settings (environment variables):
";

const RECONCILE: &str = "pictures sweep";
const RECONCILE_DRY_RUN: &str = "pictures sweep --dry-run";

const COMMAND: Command<Config> = Command {
    name: "auth-api",
    version: env!("CARGO_PKG_VERSION"),
    usage: USAGE,
    verbs: &["serve", "migrate", "check", "keys list", "keys rotate", RECONCILE, RECONCILE_DRY_RUN],
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
        RECONCILE => reconcile_pictures(config, Mode::Enqueue).await,
        RECONCILE_DRY_RUN => reconcile_pictures(config, Mode::DryRun).await,
        _ => serve_until_stopped(config).await,
    })
}

async fn migrate(config: &Config) -> Result<(), StartError> {
    let Migrated { applied, unknown } = store::migrations::run(&config.postgres.server).await?;
    if unknown > 0 {
        tracing::warn!(unknown, "the schema has migrations of a later release; this one works with them");
    }
    tracing::info!(applied, "the schema is up to date");
    Ok(())
}

async fn check(config: Config) -> Result<(), StartError> {
    let app = App::new(config, Clock::system(), Random::system())?;
    health::check_dependencies(&app).await?;
    tracing::info!("Postgres and Redis are reachable with these settings");
    Ok(())
}

fn list_keys(config: &Config) -> Result<(), StartError> {
    for (token_type, source) in config.tokens.key_sources()? {
        print_states(config, token_type, &key_store::list(source, config.tokens.key_times())?);
    }
    Ok(())
}

fn rotate_keys(config: &Config) -> Result<(), StartError> {
    let (clock, random) = (Clock::system(), Random::system());
    for (token_type, source) in config.tokens.key_sources()? {
        let has_rotated = token_type == TokenType::Access && config.tokens.refresh_keys.is_some();
        if has_rotated && matches!(source, KeySource::Secret(_)) {
            println!("{token_type}  the secret in TOKEN_SECRET_FILE stays");
            continue;
        }
        let rotated = key_store::rotate(source, config.tokens.key_times(), &clock, &random)?;
        for kid in rotated.removed {
            println!("{token_type}  {kid}  removed");
        }
        print_states(config, token_type, &rotated.keys);
    }
    Ok(())
}

fn print_states(config: &Config, token_type: TokenType, keys: &KeySet) {
    if token_type == TokenType::Refresh && config.tokens.refresh_algorithm == RefreshAlgorithm::EdDsa {
        println!("refresh  these secrets only verify: REFRESH_TOKEN_ALGORITHM=eddsa");
    }
    let now = Clock::system().unix_seconds();
    for (key, state) in keys.states(now) {
        let state = match state {
            KeyState::Pending { active_at } => format!("signs in {} s", active_at.saturating_sub(now)),
            KeyState::Active => "signs".to_owned(),
            KeyState::VerifyOnly { until } => format!("verifies, for {} s more", until.saturating_sub(now)),
            KeyState::Retired => "retired".to_owned(),
        };
        println!("{token_type}  {}  {:?}  {state}", key.kid(), key.algorithm());
    }
}

async fn reconcile_pictures(config: Config, mode: Mode) -> Result<(), StartError> {
    let grace = config.orphan_grace.as_secs();
    let app = App::new(config, Clock::system(), Random::system())?;
    let Report { stored, orphans, missing, missing_user_ids } = reconcile::reconcile(&app, mode).await?;
    println!("{stored} pictures are stored");
    match mode {
        Mode::Enqueue => println!("{orphans} without an owner: deletion enqueued, due in {grace} s"),
        Mode::DryRun => println!("{orphans} without an owner: not deleted (dry run)"),
    }
    println!("{missing} users whose picture is missing");
    for user_id in missing_user_ids {
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
    tokio::spawn(outbox::deletion_worker(Arc::clone(&app)));
    tokio::spawn(reconcile::run(Arc::clone(&app)));
    tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.tokens.watch_keys().await }
    });
    tokio::spawn({
        let redis = app.redis.clone();
        async move { store::redis_health::watch(&redis).await }
    });
    tokio::spawn(store::cache::listener::run(app.config.postgres.clone(), app.users.clone(), random.clone()));
    tracing::info!(%listen, version = env!("CARGO_PKG_VERSION"), "serving");
    serve(listener, routes::routes(), app, random, limits, stop_signal()).await;
    tracing::info!("stopped");
    Ok(())
}
