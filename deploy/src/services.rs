//! The two services: their settings, over those that the runner's environment passes through.

use std::path::Path;
use std::process::Command;

use shared::settings::Settings;

use crate::error::Error;
use crate::http;
use crate::part::Part;
use crate::plan::Plan;
use crate::ports::Ports;

/// media-server.
pub(crate) fn media_server(plan: &Plan) -> Result<Command, Error> {
    let ports = &plan.ports;
    let mut command = plan.server(Part::MediaServer, &plan.programs.media_server, "pictures")?;
    command
        .arg("serve")
        .env("LISTEN", address(ports.media_server))
        .env("WRITE_LISTEN", address(ports.media_writing))
        .env("MEDIA_SECRET_FILE", &plan.secrets.media.path)
        .env("STORAGE_URL", storage_url(plan))
        .env("LOG_FORMAT", "json")
        .envs(plan.environment.iter().cloned());
    Ok(command)
}

/// A directory of the stack's own, or the bucket that the runner's environment names.
fn storage_url(plan: &Plan) -> String {
    let own = file_url(&plan.data.join("pictures").to_string_lossy());
    Settings::from_environment().text("STORAGE_URL", &own, "where pictures lie")
}

/// auth-api, serving.
pub(crate) fn auth_api(plan: &Plan) -> Result<Command, Error> {
    let mut command = plan.server(Part::AuthApi, &plan.programs.auth_api, "keys")?;
    command.arg("serve").envs(auth_api_settings(plan));
    Ok(command)
}

/// auth-api's migrations.
pub(crate) fn migrate(plan: &Plan) -> Result<(), Error> {
    let mut command = plan.step(Part::AuthApi, &plan.programs.auth_api, "keys")?;
    command.arg("migrate").envs(auth_api_settings(plan));
    plan.run("auth-api migrate", Part::AuthApi, command, "")
}

/// Whether the service on `port` can do its work.
pub(crate) fn is_ready(port: u16) -> bool {
    http::status(port, "/readyz") == Some(200)
}

fn auth_api_settings(plan: &Plan) -> Vec<(String, String)> {
    let Ports { auth_api, media_writing, postgres, redis, .. } = plan.ports;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let own = [
        ("LISTEN", address(auth_api)),
        ("DATABASE_URL", format!("postgres://users@127.0.0.1:{postgres}/users")),
        ("DATABASE_PASSWORD_FILE", path(&plan.secrets.users.path)),
        ("REDIS_URL", format!("redis://127.0.0.1:{redis}/0")),
        ("REDIS_PASSWORD_FILE", path(&plan.secrets.redis.path)),
        ("MEDIA_URL", format!("http://127.0.0.1:{media_writing}")),
        ("MEDIA_SECRET_FILE", path(&plan.secrets.media.path)),
        ("TOKEN_KEYS_DIR", path(&plan.data.join("keys"))),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    own.into_iter().chain(plan.environment.iter().cloned()).collect()
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A path as a URL: what has a meaning in URLs is escaped.
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
    fn a_path_with_spaces_makes_a_url() {
        assert_eq!(file_url("/a b/ü#.x"), "file:///a%20b/%C3%BC%23.x");
    }
}
