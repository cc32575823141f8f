//! The endpoints of auth-api: one file per endpoint, and what all of them share.

mod bodies;
mod client_quirks;
mod cookies;
mod cross_origin;
mod delete_me;
mod docs;
mod every_endpoint;
mod forged_tokens;
mod keys;
mod login;
mod login_throttle;
mod logs;
mod me;
mod nginx;
mod openapi;
mod refresh;
mod refresh_secrets;
mod register;
mod request_limits;
mod sessions;
mod token_algorithms;
mod update;
