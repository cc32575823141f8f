//! Where pictures are, and how long they may be without an owner.

use std::time::Duration;

use shared::settings::{SettingError, Settings};

use crate::media::MediaConfig;

pub(super) fn media(settings: &mut Settings) -> Result<MediaConfig, SettingError> {
    Ok(MediaConfig {
        url: settings.parsed(
            "MEDIA_URL",
            "http://127.0.0.1:8013",
            "http://HOST:PORT",
            "the writing side of media-server",
        )?,
        timeout: settings.seconds(
            "MEDIA_TIMEOUT_SECONDS",
            20,
            1..=600,
            "how long an upload to media-server may take, decoding included; past it the answer is 503",
        )?,
        connect_timeout: settings.seconds(
            "MEDIA_CONNECT_TIMEOUT_SECONDS",
            2,
            1..=60,
            "how long connecting to media-server may take",
        )?,
    })
}

/// An upload is tried twice, and then written to Postgres: its grace must be longer than all that.
pub(super) fn sweep(
    settings: &mut Settings,
    media_timeout: Duration,
    store_timeout: Duration,
) -> Result<(Duration, Duration), SettingError> {
    let name = "UPLOAD_GRACE_SECONDS";
    let grace = settings.seconds(
        name,
        60,
        1..=86_400,
        "how long an uploaded picture may be without an owner before it is deleted",
    )?;
    let least = media_timeout * 2 + store_timeout * 2;
    if grace < least {
        let may_be =
            format!("{} or more: twice MEDIA_TIMEOUT_SECONDS and twice STORE_TIMEOUT_SECONDS", least.as_secs());
        return Err(SettingError::new(name, grace.as_secs(), may_be));
    }
    let interval =
        settings.seconds("SWEEP_INTERVAL_SECONDS", 5, 1..=86_400, "how often pictures without an owner are deleted")?;
    Ok((grace, interval))
}

/// What is being uploaded is no orphan: its note is there for the whole of its grace.
pub(super) fn orphans(settings: &mut Settings, upload_grace: Duration) -> Result<(Duration, Duration), SettingError> {
    let name = "ORPHAN_GRACE_SECONDS";
    let grace = settings.seconds(
        name,
        86_400,
        1..=366 * 86_400,
        "how old a picture of which nobody knows must be to be noted for deletion, and how long it is noted before it is deleted",
    )?;
    if grace < upload_grace {
        let may_be = format!("{} or more: UPLOAD_GRACE_SECONDS", upload_grace.as_secs());
        return Err(SettingError::new(name, grace.as_secs(), may_be));
    }
    let interval = settings.seconds(
        "ORPHAN_SWEEP_INTERVAL_SECONDS",
        86_400,
        0..=366 * 86_400,
        "how often one of the replicas compares what media-server has with what is owned; 0: never",
    )?;
    Ok((grace, interval))
}
