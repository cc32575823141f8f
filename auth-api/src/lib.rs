//! auth-api: accounts, sessions and tokens.
//!
//! A request's path: [`shared::http::serve`] → [`routes`] → [`auth`] (authenticates the bearer token) → [`handlers`] →
//! [`form`] and [`domain`] (parse the body) → [`passwords`], [`tokens`], [`pictures`], [`store`] → [`error`] (the status).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`app`] | everything that handlers share |
//! | [`config`] | every setting, its default and its unit |
//! | [`routes`] | the table of routes |
//! | [`openapi`] | the description of the API |
//! | [`auth`] | bearer tokens; the only place that makes a [`auth::Caller`] |
//! | [`client_info`] | the client's address, user agent and the URL that it used |
//! | [`handlers`] | the endpoints |
//! | [`form`] | request bodies: JSON, URL-encoded or multipart |
//! | [`domain`] | e-mail address, name, password, profile picture: parsers without HTTP and storage |
//! | [`tokens`] | JSON Web Tokens, signing keys and their rotation |
//! | [`refresh_cookie`] | the refresh token in a cookie, and which pages may use it |
//! | [`passwords`] | the only place that checks a password |
//! | [`login_throttle`] | limits of failed logins |
//! | [`request_limits`] | limits of registrations and of address probes |
//! | [`hashing`] | Argon2id on bounded threads |
//! | [`redis_client`], [`lease`] | the Redis client; leases that bound the staleness of caches |
//! | [`password_file`], [`tls`] | passwords of the stores; certificate authorities |
//! | [`store`] | every SQL statement and Redis command; knows no HTTP |
//! | [`pictures`] | the client of media-server, the outbox of deletions, the reconciliation |
//! | [`error`] | errors and their status |

pub mod app;
pub mod auth;
pub mod client_info;
pub mod config;
pub mod domain;
pub mod error;
pub mod form;
pub mod handlers;
pub mod hashing;
pub mod ids;
pub mod lease;
pub mod login_throttle;
pub mod openapi;
pub mod password_file;
pub mod passwords;
pub mod pictures;
pub mod redis_client;
pub mod refresh_cookie;
pub mod request_limits;
pub mod routes;
pub mod store;
pub mod tls;
pub mod tokens;
