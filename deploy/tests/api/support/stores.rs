//! Access to the stores, as operators have it: redis-cli and psql.

use std::path::PathBuf;
use std::process::Command;

use deploy::Env;

use super::env_file;

/// Returns what `redis-cli ARGS…` prints.
pub fn redis(env: &Env, args: &[&str]) -> String {
    printed(Command::new("redis-cli").args(env.redis_args()).args(args))
}

/// Returns what `psql -c SQL` prints, unaligned and without headers.
pub fn postgres(env: &Env, sql: &str) -> String {
    printed(Command::new("psql").arg(&env.postgres).args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql]))
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The directory of the shared stack's signing keys, and of its refresh secrets.
pub fn keys_directory() -> PathBuf {
    env_file().with_file_name("keys")
}
