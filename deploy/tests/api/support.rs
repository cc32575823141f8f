//! A client, users, pictures, services and stores for the tests.

mod api;
mod browser;
mod certificates;
mod load;
mod media_server;
mod pictures;
mod polling;
mod postgres_nodes;
mod process;
mod proxy;
mod redis_nodes;
mod replica;
mod response;
mod s3_server;
mod stacks;
mod stores;
mod throttling;
mod tls_proxy;
mod under_fault;
mod user;

pub use api::{Api, Form, send};
pub use browser::Browser;
pub use certificates::Certificates;
pub use load::{LoadClient, LoadGenerator};
pub use media_server::MediaServer;
pub use pictures::{PHOTOGRAPHS, drawn, encoded, extension_of, jpeg, largest_photograph, path_of, photographs, pixels};
pub use polling::{
    assert_unavailable, statuses_under_fault, wait_until, wait_until_ok, wait_until_recovered, wait_until_signed_out,
    wait_until_unavailable, within_deadline,
};
pub use postgres_nodes::{PgBouncer, PostgresNode};
pub use process::{Process, Scratch, files_below, service};
pub use proxy::{Fault, Proxy};
pub use redis_nodes::RedisNode;
pub use replica::{Replica, auth_api_command};
pub use response::Response;
pub use s3_server::S3Server;
pub use stacks::{OwnStack, env_file, stack};
pub use stores::{keys_directory, postgres, redis};
pub use throttling::{FAILURES_PER_ACCOUNT, assert_throttled, guess_concurrently, ipv4, login_from, move_back};
pub use tls_proxy::TlsProxy;
pub use under_fault::run_under_fault;
pub use user::{PASSWORD, TestUser, claims, register, registration, registration_form, unique_email};

use shared::media_api::ImageId;
use shared::random::Random;

/// A text that no other test uses: the tests share one stack and its accounts.
pub fn unique() -> String {
    hex::encode(Random::system().bytes::<8>())
}

/// A new picture id, in hexadecimal.
pub fn image_id() -> String {
    ImageId::new(&Random::system()).hex()
}
