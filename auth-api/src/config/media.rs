//! Settings of media-server, of the deletion and the reconciliation of pictures.

use std::time::Duration;

use shared::settings::{SettingError, Settings};

use crate::pictures::client::MediaConfig;

pub(super) fn media(settings: &mut Settings) -> Result<MediaConfig, SettingError> {
    Ok(MediaConfig {
        url: settings.parsed(
            "MEDIA_URL",
            "http://127.0.0.1:8013",
            "http://HOST:PORT",
            "URL of media-server's internal API",
        )?,
        timeout: settings.seconds(
            "MEDIA_TIMEOUT_SECONDS",
            20,
            1..=600,
            "timeout of an upload to media-server, decoding included; above it the response is 503",
        )?,
        connect_timeout: settings.seconds(
            "MEDIA_CONNECT_TIMEOUT_SECONDS",
            2,
            1..=60,
            "timeout of connecting to media-server",
        )?,
    })
}

/// Two attempts of an upload and two statements of Postgres must fit into the grace period.
pub(super) fn deletions(
    settings: &mut Settings,
    media_timeout: Duration,
    store_timeout: Duration,
) -> Result<(Duration, Duration), SettingError> {
    let name = "UPLOAD_GRACE_SECONDS";
    let grace = settings.seconds(name, 60, 1..=86_400, "time until an uploaded picture without an owner is deleted")?;
    let minimum = media_timeout * 2 + store_timeout * 2;
    if grace < minimum {
        let may_be =
            format!("{} or more: twice MEDIA_TIMEOUT_SECONDS and twice STORE_TIMEOUT_SECONDS", minimum.as_secs());
        return Err(SettingError::new(name, grace.as_secs(), may_be));
    }
    let interval =
        settings.seconds("SWEEP_INTERVAL_SECONDS", 5, 1..=86_400, "interval of deleting pictures without an owner")?;
    Ok((grace, interval))
}

/// An upload in progress must not count as an orphan, so the grace period is no shorter than that of uploads.
pub(super) fn reconciliation(
    settings: &mut Settings,
    upload_grace: Duration,
) -> Result<(Duration, Duration), SettingError> {
    let name = "ORPHAN_GRACE_SECONDS";
    let grace = settings.seconds(
        name,
        86_400,
        1..=366 * 86_400,
        "minimum age of an orphan (a stored picture unknown to Postgres), and then the delay of its deletion",
    )?;
    if grace < upload_grace {
        let may_be = format!("{} or more: UPLOAD_GRACE_SECONDS", upload_grace.as_secs());
        return Err(SettingError::new(name, grace.as_secs(), may_be));
    }
    let interval = settings.seconds(
        "ORPHAN_SWEEP_INTERVAL_SECONDS",
        86_400,
        0..=366 * 86_400,
        "interval of reconciling the stored pictures with their owners, on one replica; 0: never",
    )?;
    Ok((grace, interval))
}
