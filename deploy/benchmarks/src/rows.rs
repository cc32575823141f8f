//! The rows, in the order they are measured. One more is one more [`Row`] in this list.

pub mod growth;
pub mod login;
pub mod me;
pub mod processes;
pub mod refresh;
pub mod tail;

use crate::row::Row;

/// All of them. Those that start a part anew come last: its caches are cold then.
pub const ALL: &[Row] = &[
    me::ITSELF,
    me::THROUGH_NGINX,
    login::LOGIN,
    refresh::REFRESH,
    tail::TAIL,
    growth::ME,
    growth::LOGIN,
    growth::REFRESH,
    processes::AUTH_API_IDLE,
    processes::MEDIA_SERVER_IDLE,
    processes::LOGINS_AT_ONCE,
];
