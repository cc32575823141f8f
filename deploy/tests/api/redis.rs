//! Sessions in Redis: revocation and rotation, and each topology (single server, Sentinel, Cluster), with TLS and with
//! network faults or refused writes. Tests of a topology start Redis servers of their own, and a stack whose auth-api uses them.

mod cluster;
mod refreshing_clients;
mod refused_writes;
mod revocation;
mod rotation;
mod sentinel;
mod single;

use deploy::{Options, Service};

use crate::support::{OwnStack, RedisNode, Scratch};

/// Starts a stack whose auth-api uses the Redis at `url`. The stack's own Redis is stopped.
fn stack_on(url: &str, files: &Scratch, settings: &[(&str, &str)]) -> OwnStack {
    let password = files.write("redis-password", RedisNode::PASSWORD);
    let options = Options::scratch().unwrap().with("REDIS_URL", url).with("REDIS_PASSWORD_FILE", &password);
    let stack = OwnStack::start_with(options, settings);
    stack.stop(Service::Redis).unwrap();
    stack
}
