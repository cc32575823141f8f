//! Postgres as it is run in production: with TLS, a standby, a pooler, passwords that rotate, and a newer schema. Tests start
//! Postgres servers of their own, and an auth-api that uses them.

mod failover;
mod passwords;
mod pooler;
mod schema;
mod tls;

use crate::support::{Scratch, auth_api_command};

/// What `auth-api check` prints for the Postgres at `url`. There is no media-server, which is checked last: if it prints
/// `MEDIA_URL`, nothing is wrong with Postgres.
fn check(url: &str) -> String {
    let files = Scratch::new();
    let secret = files.write("media-secret", "a secret of no stack");
    let settings = [("DATABASE_URL", url), ("MEDIA_SECRET_FILE", &secret), ("MEDIA_URL", "http://127.0.0.1:1")];
    let output = auth_api_command(&["check"], &settings);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
