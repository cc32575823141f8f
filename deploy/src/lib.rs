//! The stack runner: starts Postgres, Redis, media-server, auth-api and nginx as child processes, with all state in one
//! directory. `deploy/up`, the tests over sockets and the benchmarks use it.
//!
//! ```no_run
//! # fn main() -> Result<(), deploy::Error> {
//! let stack = deploy::Stack::start(deploy::Options::scratch()?)?;
//! println!("listens on {}", stack.env().base);
//! stack.stop(deploy::Service::Redis)?;
//! stack.restart(deploy::Service::Redis)?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | contents |
//! | --- | --- |
//! | [`stack`] | starts, stops and watches the services, in order |
//! | [`service`], [`process`] | a service's properties; a child process |
//! | [`postgres`], [`redis`], [`apps`], [`nginx`] | command line, configuration and readiness check of each service |
//! | [`redis_server`] | a separate Redis for tests: Cluster node, Sentinel, server with TLS |
//! | [`config`], [`account`], [`data_dir`], [`secrets`], [`ports`], [`logs`] | the resolved stack configuration |
//! | [`env`] | `DIR/env`: the addresses of a ready stack |
//! | [`up`] | the command `deploy/up` |
//!
//! This crate does not know users or pictures, and reads no environment variables: children inherit them.

mod account;
mod apps;
mod config;
mod data_dir;
mod env;
mod error;
mod http;
mod interrupt;
mod logs;
mod nginx;
mod options;
pub mod ports;
mod postgres;
mod process;
pub mod programs;
mod redis;
mod redis_server;
mod secrets;
mod service;
mod stack;
pub mod up;

pub use env::Env;
pub use error::Error;
pub use interrupt::Interrupt;
pub use nginx::Gateway;
pub use options::Options;
pub use process::Process;
pub use redis_server::RedisServer;
pub use rustix::process::Signal;
pub use service::Service;
pub use stack::Stack;
