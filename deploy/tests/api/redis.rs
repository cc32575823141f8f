//! Sessions in Redis: revocation and rotation, and each topology (single server, Sentinel, Cluster), with TLS and with
//! network faults. Tests of a topology start Redis servers of their own, and a stack whose auth-api uses them.

mod cluster;
mod refreshing_clients;
mod revocation;
mod rotation;
mod sentinel;
mod single;

use std::time::Duration;

use deploy::{Options, Part, Stack};

use crate::support::{Person, RedisNode, Scratch, until};

/// A stack whose auth-api uses the Redis at `url`.
fn stack_on(url: &str, files: &Scratch, settings: &[(&str, &str)]) -> Stack {
    let password = files.path().join("redis-password");
    std::fs::write(&password, RedisNode::PASSWORD).unwrap();
    let options = Options::scratch().unwrap().with("REDIS_URL", url);
    let options = options.with("REDIS_PASSWORD_FILE", password.to_str().unwrap());
    let options = settings.iter().fold(options, |options, (name, value)| options.with(name, value));
    let stack = Stack::start(options).unwrap();
    // Its own Redis is not asked.
    stack.stop(Part::Redis).unwrap();
    stack
}

/// A session whose key is deleted is over, within two seconds at the latest.
async fn until_signed_out(person: &Person) {
    until("the session is over", Duration::from_secs(2), async || person.me().await.status == 401).await;
    person.refresh().await.expect_unauthorized();
}
