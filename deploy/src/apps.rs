//! auth-api and media-server: their command lines and settings, which take precedence over the runner's environment.

use std::path::Path;
use std::process::Command;

use shared::settings::Settings;

use crate::config::StackConfig;
use crate::error::Error;
use crate::http;
use crate::ports::Ports;
use crate::service::Service;

/// Returns the command of media-server.
pub(crate) fn media_server(config: &StackConfig) -> Result<Command, Error> {
    let ports = &config.ports;
    let mut command = config.server(Service::MediaServer, &config.programs.media_server, "pictures")?;
    command
        .arg("serve")
        .env("LISTEN", address(ports.media_server))
        .env("WRITE_LISTEN", address(ports.media_internal))
        .env("MEDIA_SECRET_FILE", &config.secrets.media.path)
        .env("STORAGE_URL", storage_url(config))
        .env("LOG_FORMAT", "json")
        .envs(config.environment.iter().cloned());
    Ok(command)
}

/// Returns the `STORAGE_URL` of the runner's environment, or a directory of this stack.
fn storage_url(config: &StackConfig) -> String {
    let own = file_url(&config.data.join("pictures").to_string_lossy());
    Settings::from_environment().text("STORAGE_URL", &own, "where pictures are stored")
}

/// Returns the command of auth-api.
pub(crate) fn auth_api(config: &StackConfig) -> Result<Command, Error> {
    let mut command = config.server(Service::AuthApi, &config.programs.auth_api, "keys")?;
    command.arg("serve").envs(auth_api_settings(config));
    Ok(command)
}

/// Runs the migrations of auth-api.
pub(crate) fn migrate(config: &StackConfig) -> Result<(), Error> {
    let mut command = config.step(Service::AuthApi, &config.programs.auth_api, "keys")?;
    command.arg("migrate").envs(auth_api_settings(config));
    config.run("auth-api migrate", Service::AuthApi, command, "")
}

/// Returns whether the service on `port` reports that it is ready.
pub(crate) fn is_ready(port: u16) -> bool {
    http::status(port, "/readyz") == Some(200)
}

fn auth_api_settings(config: &StackConfig) -> Vec<(String, String)> {
    let Ports { auth_api, media_internal, postgres, redis, .. } = config.ports;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let own = [
        ("LISTEN", address(auth_api)),
        ("DATABASE_URL", format!("postgres://users@127.0.0.1:{postgres}/users")),
        ("DATABASE_PASSWORD_FILE", path(&config.secrets.users.path)),
        ("REDIS_URL", format!("redis://127.0.0.1:{redis}/0")),
        ("REDIS_PASSWORD_FILE", path(&config.secrets.redis.path)),
        ("MEDIA_URL", format!("http://127.0.0.1:{media_internal}")),
        ("MEDIA_SECRET_FILE", path(&config.secrets.media.path)),
        ("TOKEN_KEYS_DIR", path(&config.data.join("keys"))),
        ("REFRESH_SECRET_FILE", path(&config.secrets.refresh.path)),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    own.into_iter().chain(config.environment.iter().cloned()).collect()
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Returns a path as a file URL, percent-encoded.
fn file_url(path: &str) -> String {
    let mut url = "file://".to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push_str(&hex::encode_upper([byte]));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_percent_encoded_in_a_file_url() {
        assert_eq!(file_url("/a b/ü#.x"), "file:///a%20b/%C3%BC%23.x");
    }
}
