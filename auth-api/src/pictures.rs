//! Pictures: the client of media-server, and what keeps its storage consistent with Postgres.

pub mod client;
pub mod outbox;
pub mod reconcile;
