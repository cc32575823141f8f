//! `DATABASE_URL`: the servers, how to reach them, and how to open a connection.

use std::error::Error as _;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use percent_encoding::percent_decode_str;
use tokio_postgres::config::{SslMode as Encryption, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls;

use super::tls::{SslMode, TlsParameters};
use crate::password_file::Password;

/// Timeout of a TCP connect, for one address of a host.
const TCP_CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Time after which unacknowledged data closes a connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(4);

const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// Why a URL is invalid. Does not repeat the URL, which may hold a password.
#[derive(Debug)]
pub enum UrlError {
    Malformed,
    /// One parameter, its value, and what it may be.
    Parameter {
        was: String,
        may_be: &'static str,
    },
}

impl UrlError {
    pub(super) fn parameter(name: &str, value: impl Display, may_be: &'static str) -> Self {
        Self::Parameter { was: format!("a URL with {name}={value}"), may_be }
    }
}

/// The driver of a connection: a future that ends with the connection, and a source of notifications.
pub type Driver = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A new connection.
pub struct Opened {
    pub client: Client,
    pub connection: Driver,
}

/// The server of a URL: one of its hosts, which must be the one that can write if there are several.
#[derive(Clone)]
pub struct PostgresServer {
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    /// Whether a connection without TLS is tried where one with TLS is refused.
    falls_back_to_plaintext: bool,
    pub password: Password,
    refuses_options: Arc<AtomicBool>,
}

impl std::fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresServer")
    }
}

impl PostgresServer {
    /// Parses a URL with the parameters of libpq, and reads the files that it names. Without a password in a file, that of
    /// the URL is used.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (mut tls, rest) = take_tls_parameters(url)?;
        let mut hosts = split_hosts(&rest)
            .iter()
            .map(|url| url.parse::<Config>().map_err(|_| UrlError::Malformed))
            .collect::<Result<Vec<_>, _>>()?;
        let has_several = hosts.len() > 1;
        for host in &mut hosts {
            host.application_name("auth-api")
                .connect_timeout(TCP_CONNECT_TIMEOUT)
                .tcp_user_timeout(TCP_USER_TIMEOUT)
                .keepalives_idle(KEEPALIVE_IDLE);
            if has_several {
                host.target_session_attrs(TargetSessionAttrs::ReadWrite);
            }
            // The form `host=… sslmode=…` knows three modes.
            tls.mode = match (tls.mode, host.get_ssl_mode()) {
                (SslMode::Prefer, Encryption::Disable) => SslMode::Disable,
                (SslMode::Prefer, Encryption::Require) => SslMode::Require,
                (mode, _) => mode,
            };
            host.ssl_mode(match tls.mode {
                SslMode::Disable => Encryption::Disable,
                SslMode::Prefer => Encryption::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Encryption::Require,
            });
        }
        let password = hosts.first().and_then(Config::get_password);
        let password = password.map(|password| String::from_utf8_lossy(password).into_owned());
        Ok(Self {
            hosts,
            falls_back_to_plaintext: tls.mode == SslMode::Prefer,
            tls: tls.connector()?,
            password: Password::fixed(password),
            refuses_options: Arc::default(),
        })
    }

    /// Opens a connection with start-up options, or without them through a pooler that refuses them.
    pub async fn connect_or_pooled(&self, options: &str) -> Result<Opened, Error> {
        if !self.is_pooled() {
            match self.connect(options).await {
                Err(error) if refuses_options(&error) => {}
                opened => return opened,
            }
        }
        let opened = self.connect("").await?;
        if !self.refuses_options.swap(true, Ordering::Relaxed) {
            tracing::info!("Postgres is behind a pooler without start-up options; limits are set in each transaction");
        }
        Ok(opened)
    }

    /// Whether a pooler refused the start-up options, so that they are not set.
    pub fn is_pooled(&self) -> bool {
        self.refuses_options.load(Ordering::Relaxed)
    }

    /// Opens a connection with start-up options, to the first host that accepts it. All are tried at once: one that does not
    /// reply must not delay a failover.
    pub async fn connect(&self, options: &str) -> Result<Opened, Error> {
        let password = self.password.current().await;
        let attempts = self.hosts.iter().map(|host| {
            let mut host = host.clone();
            if let Some(password) = &password {
                host.password(password);
            }
            let options = format!("{} {options}", host.get_options().unwrap_or_default());
            if !options.trim().is_empty() {
                host.options(options.trim());
            }
            self.connect_to(host).boxed()
        });
        Ok(select_ok(attempts).await?.0)
    }

    async fn connect_to(&self, mut host: Config) -> Result<Opened, Error> {
        let connected = match host.connect(self.tls.clone()).await {
            Err(error) if self.falls_back_to_plaintext && refuses_tls(&error) => {
                host.ssl_mode(Encryption::Disable).connect(self.tls.clone()).await.map_err(|_| error)
            }
            connected => connected,
        };
        let (client, connection) = connected?;
        Ok(Opened { client, connection })
    }
}

/// Whether a pooler refused the start-up parameter `options`: `PgBouncer` with 08P01, RDS Proxy with 0A000.
pub(super) fn refuses_options(error: &Error) -> bool {
    error.code().is_some_and(|code| [SqlState::PROTOCOL_VIOLATION, SqlState::FEATURE_NOT_SUPPORTED].contains(code))
}

/// Whether a connection without TLS may succeed, as libpq has it: the handshake failed, or `pg_hba.conf` refused it.
fn refuses_tls(error: &Error) -> bool {
    let in_handshake =
        error.source().and_then(|source| source.downcast_ref::<io::Error>()).and_then(io::Error::get_ref);
    in_handshake.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// Takes the parameters that concern TLS out of a URL.
fn take_tls_parameters(url: &str) -> Result<(TlsParameters, String), UrlError> {
    let mut tls = TlsParameters::default();
    let credentials = url.find('@').unwrap_or(0);
    let Some(question) = url.get(credentials..).and_then(|rest| rest.find('?')).map(|at| credentials + at) else {
        return Ok((tls, url.to_owned()));
    };
    let (address, query) = url.split_at(question);
    let mut others = Vec::new();
    for parameter in query.trim_start_matches('?').split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| UrlError::Malformed)?;
        let path = || Some(PathBuf::from(value.as_ref())).filter(|path| !path.as_os_str().is_empty());
        match name {
            "sslmode" => tls.mode = SslMode::parse(&value)?,
            "sslrootcert" => tls.root_certificates = path(),
            "sslcert" => tls.certificate = path(),
            "sslkey" => tls.key = path(),
            _ => others.push(parameter),
        }
    }
    let separator = if others.is_empty() { "" } else { "?" };
    Ok((tls, format!("{address}{separator}{}", others.join("&"))))
}

/// Returns a URL for each host: `postgres://a,b/users` becomes `postgres://a/users` and `postgres://b/users`.
fn split_hosts(url: &str) -> Vec<String> {
    let Some(scheme) = url.find("://").map(|at| at + 3) else { return vec![url.to_owned()] };
    let start = url.find('@').map_or(scheme, |at| at + 1);
    let (before, rest) = url.split_at(start);
    let (hosts, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    hosts.split(',').map(|host| format!("{before}{host}{after}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_parameters_are_taken_out_of_a_url() {
        let url = "postgres://u:p?q@h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b.pem";
        let (tls, rest) = take_tls_parameters(url).unwrap();
        assert_eq!((tls.mode, tls.root_certificates), (SslMode::VerifyFull, Some(PathBuf::from("/a b.pem"))));
        assert_eq!(rest, "postgres://u:p?q@h/d?connect_timeout=3");
        assert_eq!(take_tls_parameters("postgres://h/d?sslmode=disable").unwrap().1, "postgres://h/d");
    }

    #[test]
    fn each_host_has_a_url() {
        assert_eq!(
            split_hosts("postgres://u@a:1,[::1]:2/d?x=1"),
            ["postgres://u@a:1/d?x=1", "postgres://u@[::1]:2/d?x=1"]
        );
        assert_eq!(split_hosts("host=a,b"), ["host=a,b"]);
    }

    #[test]
    fn several_hosts_must_be_writable() {
        let server = PostgresServer::parse("postgres://u:p@a:1,b:2/d").unwrap();
        assert!(server.hosts.iter().all(|host| host.get_target_session_attrs() == TargetSessionAttrs::ReadWrite));
        assert!(PostgresServer::parse("postgres://h:x/d").is_err());
    }
}
