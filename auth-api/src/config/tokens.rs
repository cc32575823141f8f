//! How long tokens live, and what signs them.

use shared::settings::{SettingError, Settings};

use crate::tokens::{KeySource, TokenConfig};

pub(super) fn tokens(settings: &mut Settings) -> Result<TokenConfig, SettingError> {
    Ok(TokenConfig {
        access_lifetime: settings.seconds(
            "ACCESS_TOKEN_TTL_SECONDS",
            300,
            1..=86_400,
            "how long an access token lives",
        )?,
        refresh_lifetime: settings.seconds(
            "REFRESH_TOKEN_TTL_SECONDS",
            14 * 86_400,
            1..=10 * 366 * 86_400,
            "how long a refresh token lives, and so a session that is not used",
        )?,
        issuer: settings.text("TOKEN_ISSUER", "users", "the iss claim of tokens; tokens of another issuer are refused"),
        keys: keys(settings),
        key_activation: settings.seconds(
            "TOKEN_KEY_ACTIVATION_SECONDS",
            600,
            1..=30 * 86_400,
            "how long a new key is known before it signs; /.well-known/jwks.json may be kept for half of it (300 seconds at most)",
        )?,
    })
}

fn keys(settings: &mut Settings) -> KeySource {
    let directory = settings.path(
        "TOKEN_KEYS_DIR",
        "/var/lib/auth-api/keys",
        "the directory of the Ed25519 signing keys, shared by replicas; the first to start makes a key, `auth-api keys rotate` another",
    );
    let secret = settings.optional_path(
        "TOKEN_SECRET_FILE",
        "the file that holds a secret of 32 bytes or more: tokens are then signed with it (HS256), and there are no public keys",
    );
    secret.map_or(KeySource::Directory(directory), KeySource::Secret)
}
