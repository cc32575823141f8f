//! The rows, in the order in which they are measured. A new [`Row`] goes into [`ALL`].

pub mod failing_login;
pub mod growth;
pub mod hostile;
pub mod hostile_pictures;
pub mod login;
pub mod me;
pub mod pictures;
pub mod processes;
pub mod refresh;
pub mod renditions;
pub mod tail;
pub mod under_attack;
pub mod uploads;

use crate::harness::row::Row;

/// All rows. Those that restart a service come last, because its caches are cold afterwards.
pub const ALL: &[Row] = &[
    me::ITSELF,
    me::THROUGH_NGINX,
    login::LOGIN,
    refresh::REFRESH,
    tail::TAIL,
    failing_login::WRONG,
    failing_login::DISABLED,
    pictures::PICTURE,
    pictures::RENDITION,
    pictures::NOT_MODIFIED,
    uploads::UPLOAD,
    uploads::RATE,
    uploads::BUSY,
    renditions::FIRST,
    renditions::FIRST_IN_PROCESS,
    uploads::AT_ONCE,
    uploads::HOSTILE,
    hostile::BASE64,
    hostile::TEXT,
    hostile::ESCAPES,
    hostile::VALUES,
    hostile::FORM,
    hostile::PART_HEADER,
    hostile_pictures::JPEG,
    hostile_pictures::PNG,
    hostile_pictures::GIF,
    hostile_pictures::WEBP,
    under_attack::UNDER_ATTACK,
    growth::ME,
    growth::LOGIN,
    growth::REFRESH,
    processes::AUTH_API_IDLE,
    processes::MEDIA_SERVER_IDLE,
    processes::LOGINS_AT_ONCE,
];
