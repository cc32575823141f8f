//! What tests are written with: a client, people, pictures, and a look into the stores.

mod answer;
mod api;
mod certificates;
mod endurance;
mod faults;
mod load;
mod media_server;
mod person;
mod photos;
mod proxy;
mod redis_nodes;
mod replica;
mod s3_server;
mod stores;

pub use answer::Answer;
pub use api::{Api, Form, send};
pub use certificates::Certificates;
pub use endurance::endure;
pub use faults::{is_back, is_in_order, is_unavailable, turns_unavailable, until, within_deadline};
pub use load::{Asks, Load};
pub use media_server::MediaServer;
pub use person::{PASSWORD, Person, claims};
pub use photos::{drawn, jpeg, photographs};
pub use proxy::{Fault, Proxy};
pub use redis_nodes::RedisNode;
pub use replica::{Replica, Scratch, auth_api_command};
pub use s3_server::S3Server;
pub use stores::{keys_directory, postgres, redis};

use std::path::PathBuf;
use std::sync::LazyLock;

use deploy::Env;
use shared::random::Random;
use shared::settings::Settings;

/// The file that `STACK` names.
pub fn env_file() -> PathBuf {
    let path = Settings::from_environment().path("STACK", "", "the env file of a running stack");
    assert!(
        path.is_file(),
        "STACK={} is no file: run deploy/test, or STACK=.data/env beside a running deploy/up",
        path.display()
    );
    path
}

/// The running stack that most tests share.
pub fn stack() -> &'static Env {
    static STACK: LazyLock<Env> = LazyLock::new(|| Env::read(env_file()).expect("STACK is the env file of a stack"));
    &STACK
}

/// A text that no other test has: they share one stack, and its accounts.
pub fn unique() -> String {
    hex::encode(Random::system().bytes::<8>())
}
