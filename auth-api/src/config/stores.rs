//! Settings of Postgres and Redis.

use std::path::Path;
use std::time::Duration;

use shared::settings::{SettingError, Settings};

use crate::redis_client::RedisConfig;
use crate::redis_client::address::{self, RedisAddress};
use crate::redis_client::tls::Tls;
use crate::store::PostgresConfig;

/// Reads a password from a file, which keeps it out of the environment and the command line.
fn password(name: &'static str, file: Option<&Path>) -> Result<Option<String>, SettingError> {
    let Some(file) = file else { return Ok(None) };
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => {
            Err(SettingError::new(name, format!("{} ({error})", file.display()), "the path of a file that can be read"))
        }
    }
}

pub(super) fn postgres(settings: &mut Settings, timeout: Duration) -> Result<PostgresConfig, SettingError> {
    let mut server: tokio_postgres::Config = settings.confidential(
        "DATABASE_URL",
        "postgres://users@127.0.0.1:5432/users",
        "postgres://ROLE@HOST:PORT/DATABASE",
        "URL of Postgres",
    )?;
    let file = settings.optional_path("DATABASE_PASSWORD_FILE", "file with the password of the role");
    if let Some(password) = password("DATABASE_PASSWORD_FILE", file.as_deref())? {
        server.password(password);
    }
    let connections_max = settings.number(
        "DATABASE_CONNECTIONS_MAX",
        16,
        2..=1000,
        "connections",
        "connections to Postgres per replica",
    )?;
    Ok(PostgresConfig { server, connections_max, timeout })
}

pub(super) fn redis(settings: &mut Settings, timeout: Duration) -> Result<RedisConfig, SettingError> {
    let address: RedisAddress = settings.confidential(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        address::URL_SYNTAX,
        "URL of Redis: redis://HOST:PORT/DATABASE, redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DATABASE (the hosts are the \
         Sentinels), or redis-cluster://HOST:PORT,HOST:PORT (seed nodes); rediss://, rediss-sentinel:// and \
         rediss-cluster:// use TLS; USER@ before the hosts selects an ACL user",
    )?;
    let file = settings.optional_path("REDIS_PASSWORD_FILE", "file with the password of Redis");
    let password = password("REDIS_PASSWORD_FILE", file.as_deref())?.or_else(|| address.password.clone());
    let file = settings
        .optional_path("REDIS_SENTINEL_PASSWORD_FILE", "file with the password of the Sentinels, if they have one");
    let sentinel_password = self::password("REDIS_SENTINEL_PASSWORD_FILE", file.as_deref())?;
    let authorities = settings.optional_path(
        "REDIS_CA_FILE",
        "PEM file with the trusted certificate authorities for TLS; empty: those of the system",
    );
    let tls = if address.tls { Some(redis_tls(authorities.as_deref())?) } else { None };
    Ok(RedisConfig { address, password, sentinel_password, tls, timeout, script_deadline: timeout })
}

fn redis_tls(authorities: Option<&Path>) -> Result<Tls, SettingError> {
    Tls::trusting(authorities).map_err(|error| {
        let was = authorities.map_or("empty".to_owned(), |path| path.display().to_string());
        let may_be = "the path of a PEM file with certificate authorities, or empty where the system has some";
        SettingError::new("REDIS_CA_FILE", format!("{was} ({error})"), may_be)
    })
}
