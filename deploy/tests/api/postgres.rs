//! Postgres as it is run in production: with TLS, a standby, a pooler, passwords that rotate, and a newer schema. Tests start
//! Postgres servers of their own, and an auth-api that uses them.

mod failover;
mod passwords;
mod pooler;
mod schema;
mod tls;
