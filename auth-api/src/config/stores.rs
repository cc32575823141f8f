//! Settings of Postgres and Redis.

use std::path::Path;
use std::time::Duration;

use shared::settings::{SettingError, Settings};

use crate::password_file::Password;
use crate::redis_client::RedisConfig;
use crate::redis_client::address::{self, RedisAddress};
use crate::redis_client::tls::Tls;
use crate::store::postgres::PostgresConfig;
use crate::store::postgres::server::{PostgresServer, UrlError};

/// Reads a password file, which keeps it out of the environment and the command line.
fn password_file(
    settings: &mut Settings,
    name: &'static str,
    help: &'static str,
) -> Result<Option<Password>, SettingError> {
    let Some(path) = settings.optional_path(name, help) else { return Ok(None) };
    let password = Password::in_file(path.clone());
    password.map(Some).map_err(|error| {
        SettingError::new(name, format!("{} ({error})", path.display()), "the path of a file that can be read")
    })
}

pub(super) fn postgres(settings: &mut Settings, timeout: Duration) -> Result<PostgresConfig, SettingError> {
    let url = settings.text(
        "DATABASE_URL",
        "postgres://users@127.0.0.1:5432/users",
        "URL of Postgres: postgres://ROLE@HOST:PORT/DATABASE; of several hosts, separated by commas, the one that can write is \
         used; parameters as in libpq, after ?: sslmode (disable, prefer, require, verify-ca, verify-full), sslrootcert (a PEM \
         file; default: the certificate authorities of the system), sslcert, sslkey, channel_binding, options",
    );
    let mut server = postgres_server("DATABASE_URL", &url)?;
    let listen_url = settings.text(
        "DATABASE_LISTEN_URL",
        "",
        "URL of the same Postgres for LISTEN, where DATABASE_URL leads to a pooler in transaction mode; empty: DATABASE_URL",
    );
    let mut listen_server = match listen_url.as_str() {
        "" => server.clone(),
        url => postgres_server("DATABASE_LISTEN_URL", url)?,
    };
    let help = "file with the password of the role, read at each new connection";
    if let Some(password) = password_file(settings, "DATABASE_PASSWORD_FILE", help)? {
        server.password = password.clone();
        listen_server.password = password;
    }
    let connections_max = settings.number(
        "DATABASE_CONNECTIONS_MAX",
        16,
        2..=1000,
        "connections",
        "connections to Postgres per replica",
    )?;
    Ok(PostgresConfig { server, listen_server, connections_max, timeout })
}

fn postgres_server(name: &'static str, url: &str) -> Result<PostgresServer, SettingError> {
    PostgresServer::parse(url).map_err(|error| match error {
        UrlError::Malformed => {
            let may_be = "postgres://ROLE@HOST:PORT/DATABASE";
            SettingError::new(name, "not of that form (its value is not shown)", may_be)
        }
        UrlError::Parameter { was, may_be } => SettingError::new(name, was, may_be),
    })
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
    let help = "file with the password of Redis, read at each new connection";
    let password = password_file(settings, "REDIS_PASSWORD_FILE", help)?;
    let password = password.unwrap_or_else(|| Password::fixed(address.password.clone()));
    let help = "file with the password of the Sentinels, if they have one";
    let sentinel_password = password_file(settings, "REDIS_SENTINEL_PASSWORD_FILE", help)?.unwrap_or_default();
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
