//! Settings of tokens and signing keys.

use shared::settings::{SettingError, Settings};

use crate::tokens::{Audience, KeySource, RefreshAlgorithm, SigningAlgorithm, TokenConfig};

/// Limit of issuer and audience together, in bytes: tokens are sent with each request.
const ISSUER_AND_AUDIENCE_BYTES_MAX: usize = 1024;

pub(super) fn tokens(settings: &mut Settings, public_url: Option<&str>) -> Result<TokenConfig, SettingError> {
    let refresh_algorithm = settings.parsed(
        "REFRESH_TOKEN_ALGORITHM",
        "hs256",
        "eddsa or hs256",
        "how new refresh tokens are signed: hs256, or eddsa, which is by the keys of access tokens, as earlier releases did; tokens of both are valid",
    )?;
    let (issuer, audience) = issuer_and_audience(settings, public_url)?;
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
        issuer,
        audience,
        keys: keys(settings, refresh_algorithm)?,
        refresh_keys: settings
            .optional_path(
                "REFRESH_SECRET_FILE",
                "file with the secrets that sign refresh tokens (HS256), shared by replicas: 32 bytes or more, as by `openssl rand -hex 32`; `auth-api keys rotate` adds another; required unless REFRESH_TOKEN_ALGORITHM is eddsa",
            )
            .map(KeySource::RefreshSecrets),
        refresh_algorithm,
        key_activation: settings.seconds(
            "TOKEN_KEY_ACTIVATION_SECONDS",
            600,
            1..=30 * 86_400,
            "time between the publication of a new key and its first signature; the max-age of /.well-known/jwks.json is half of it (300 seconds at most)",
        )?,
    })
}

fn issuer_and_audience(
    settings: &mut Settings,
    public_url: Option<&str>,
) -> Result<(String, Option<Audience>), SettingError> {
    let issuer = settings.text(
        "TOKEN_ISSUER",
        "",
        "iss claim of tokens, a URL under which /.well-known/jwks.json is; access tokens of another issuer are rejected; empty: PUBLIC_URL, or users where that is empty, too",
    );
    let issuer = if issuer.is_empty() { public_url.unwrap_or("users").to_owned() } else { issuer };
    let audience = settings.text(
        "TOKEN_AUDIENCE",
        "",
        "aud claim of access tokens, for services that require one: names separated by commas",
    );
    if issuer.len() + audience.len() > ISSUER_AND_AUDIENCE_BYTES_MAX {
        let may_be = format!("{ISSUER_AND_AUDIENCE_BYTES_MAX} bytes long, together with TOKEN_ISSUER");
        return Err(SettingError::new("TOKEN_AUDIENCE", "too long", may_be));
    }
    Ok((issuer, Audience::parse(&audience)))
}

fn keys(settings: &mut Settings, refresh_algorithm: RefreshAlgorithm) -> Result<KeySource, SettingError> {
    let directory = settings.path(
        "TOKEN_KEYS_DIR",
        "/var/lib/auth-api/keys",
        "directory of the signing keys, shared by replicas; the first replica creates a key, `auth-api keys rotate` another; keys of several algorithms may coexist",
    );
    let secret = settings.optional_path(
        "TOKEN_SECRET_FILE",
        "file with a secret of 32 bytes or more: tokens are then signed with it (HS256), and no keys are published",
    );
    let text = settings.text(
        "TOKEN_ALGORITHM",
        "",
        "how access tokens are signed: ES256, EdDSA or RS256 by a key of TOKEN_KEYS_DIR, HS256 by the secret of TOKEN_SECRET_FILE; empty: HS256 where that is set, else ES256, or EdDSA where REFRESH_TOKEN_ALGORITHM is eddsa",
    );
    let algorithm = match (&*text, secret) {
        ("" | "HS256", Some(secret)) => return Ok(KeySource::Secret(secret)),
        ("ES256" | "EdDSA" | "RS256", Some(_)) => {
            return Err(SettingError::new(
                "TOKEN_ALGORITHM",
                format!("{text}, and TOKEN_SECRET_FILE is set"),
                "HS256 with TOKEN_SECRET_FILE, and ES256, EdDSA or RS256 without",
            ));
        }
        ("HS256", None) => {
            return Err(SettingError::new(
                "TOKEN_ALGORITHM",
                "HS256, and TOKEN_SECRET_FILE is not set",
                "HS256 with TOKEN_SECRET_FILE, and ES256, EdDSA or RS256 without",
            ));
        }
        ("", None) if refresh_algorithm == RefreshAlgorithm::EdDsa => SigningAlgorithm::EdDsa,
        ("" | "ES256", None) => SigningAlgorithm::Es256,
        ("EdDSA", None) => SigningAlgorithm::EdDsa,
        ("RS256", None) => SigningAlgorithm::Rs256,
        _ => return Err(SettingError::new("TOKEN_ALGORITHM", format!("{text:?}"), "ES256, EdDSA, RS256 or HS256")),
    };
    if refresh_algorithm == RefreshAlgorithm::EdDsa && algorithm != SigningAlgorithm::EdDsa {
        return Err(SettingError::new(
            "TOKEN_ALGORITHM",
            format!("{text}, and REFRESH_TOKEN_ALGORITHM is eddsa"),
            "EdDSA with REFRESH_TOKEN_ALGORITHM=eddsa, because refresh tokens are signed with the same key",
        ));
    }
    Ok(KeySource::Directory(directory, algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(variables: [(&str, &str); N]) -> Result<TokenConfig, SettingError> {
        tokens(&mut Settings::given(variables), Some("https://users.example.com"))
    }

    #[test]
    fn the_algorithm_follows_from_the_secrets_unless_it_is_set() {
        let algorithm = |keys| match keys {
            KeySource::Directory(_, algorithm) => Some(algorithm),
            _ => None,
        };
        for (variables, expected) in [
            ([("", ""), ("", "")], Some(SigningAlgorithm::Es256)),
            ([("TOKEN_ALGORITHM", ""), ("TOKEN_SECRET_FILE", "")], Some(SigningAlgorithm::Es256)),
            ([("TOKEN_ALGORITHM", "EdDSA"), ("", "")], Some(SigningAlgorithm::EdDsa)),
            ([("TOKEN_ALGORITHM", "RS256"), ("", "")], Some(SigningAlgorithm::Rs256)),
            ([("REFRESH_TOKEN_ALGORITHM", "eddsa"), ("", "")], Some(SigningAlgorithm::EdDsa)),
            ([("TOKEN_SECRET_FILE", "/secret"), ("", "")], None),
            ([("TOKEN_SECRET_FILE", "/secret"), ("TOKEN_ALGORITHM", "HS256")], None),
        ] {
            assert_eq!(algorithm(read(variables).unwrap().keys), expected, "{variables:?}");
        }
    }

    #[test]
    fn contradictory_algorithms_are_an_error_that_names_both_settings() {
        for (variables, other) in [
            ([("TOKEN_ALGORITHM", "HS256"), ("", "")], "TOKEN_SECRET_FILE"),
            ([("TOKEN_ALGORITHM", "ES256"), ("TOKEN_SECRET_FILE", "/secret")], "TOKEN_SECRET_FILE"),
            ([("TOKEN_ALGORITHM", "RS256"), ("REFRESH_TOKEN_ALGORITHM", "eddsa")], "REFRESH_TOKEN_ALGORITHM"),
            ([("TOKEN_ALGORITHM", "es256"), ("", "")], "EdDSA"),
        ] {
            let error = read(variables).unwrap_err().to_string();
            assert!(error.starts_with("TOKEN_ALGORITHM is ") && error.contains(other), "{error}");
        }
    }

    #[test]
    fn the_issuer_is_the_public_url_unless_it_is_set() {
        let issuer = |name, value| read([(name, value)]).unwrap().issuer;
        assert_eq!(issuer("TOKEN_ISSUER", ""), "https://users.example.com");
        assert_eq!(issuer("TOKEN_ISSUER", "https://example.com"), "https://example.com");
        assert_eq!(tokens(&mut Settings::default(), None).unwrap().issuer, "users");
        assert!(read([("TOKEN_AUDIENCE", &*"x".repeat(1000))]).is_err());
        assert_eq!(read([("TOKEN_AUDIENCE", "a,b")]).unwrap().audience, Audience::parse("a,b"));
    }
}
