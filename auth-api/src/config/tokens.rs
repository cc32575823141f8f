//! Settings of tokens and signing keys.

use shared::settings::{SettingError, Settings};

use crate::tokens::{KeySource, TokenConfig};

pub(super) fn tokens(settings: &mut Settings) -> Result<TokenConfig, SettingError> {
    Ok(TokenConfig {
        access_lifetime: settings.seconds(
            "ACCESS_TOKEN_TTL_SECONDS",
            300,
            1..=86_400,
            "lifetime of an access token",
        )?,
        refresh_lifetime: settings.seconds(
            "REFRESH_TOKEN_TTL_SECONDS",
            14 * 86_400,
            1..=10 * 366 * 86_400,
            "lifetime of a refresh token, and of a session that is not refreshed",
        )?,
        issuer: settings.text("TOKEN_ISSUER", "users", "iss claim of tokens; tokens of another issuer are rejected"),
        keys: keys(settings),
        refresh_keys: settings
            .optional_path(
                "REFRESH_SECRET_FILE",
                "file with the secrets that sign refresh tokens (HS256), shared by replicas: 32 bytes or more, as by `openssl rand -hex 32`; `auth-api keys rotate` adds another; required unless REFRESH_TOKEN_ALGORITHM is eddsa",
            )
            .map(KeySource::RefreshSecrets),
        refresh_algorithm: settings.parsed(
            "REFRESH_TOKEN_ALGORITHM",
            "hs256",
            "eddsa or hs256",
            "how new refresh tokens are signed: hs256, or eddsa, which is by the keys of access tokens, as earlier releases did; tokens of both are valid",
        )?,
        key_activation: settings.seconds(
            "TOKEN_KEY_ACTIVATION_SECONDS",
            600,
            1..=30 * 86_400,
            "time between the publication of a new key and its first signature; the max-age of /.well-known/jwks.json is half of it (300 seconds at most)",
        )?,
    })
}

fn keys(settings: &mut Settings) -> KeySource {
    let directory = settings.path(
        "TOKEN_KEYS_DIR",
        "/var/lib/auth-api/keys",
        "directory of the Ed25519 signing keys, shared by replicas; the first replica creates a key, `auth-api keys rotate` another",
    );
    let secret = settings.optional_path(
        "TOKEN_SECRET_FILE",
        "file with a secret of 32 bytes or more: tokens are then signed with it (HS256), and no keys are published",
    );
    secret.map_or(KeySource::Directory(directory), KeySource::Secret)
}
