//! The one piece that starts the whole stack: Postgres, Redis, media-server, auth-api and nginx as children of this
//! process, all of their state in one directory. `deploy/up`, the tests over sockets and the benchmarks all use it.
//!
//! ```no_run
//! # fn main() -> Result<(), deploy::Error> {
//! let stack = deploy::Stack::start(deploy::Options::scratch()?)?;
//! println!("answers on {}", stack.env().base);
//! stack.stop(deploy::Part::Redis)?;
//! stack.restart(deploy::Part::Redis)?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`stack`] | starts, stops and watches the parts, in order |
//! | [`part`], [`child`], [`spawner`] | a part of the stack, its running process, and how no process outlives us |
//! | [`postgres`], [`redis`], [`services`], [`nginx`] | what each part is started with, and when it is ready |
//! | [`redis_server`] | a Redis beside a stack's own: a node of a Cluster, a Sentinel, one with TLS |
//! | [`account`], [`data_dir`], [`secrets`], [`ports`], [`logs`] | who runs it, where its state is, what it listens on |
//! | [`env`] | `DIR/env`: where a ready stack is |
//! | [`up`] | the command `deploy/up` |
//!
//! Nothing here knows users or pictures. Nothing reads the environment: children inherit it.

mod account;
mod child;
mod data_dir;
mod env;
mod error;
mod http;
mod interrupt;
mod logs;
mod nginx;
mod options;
mod part;
mod plan;
mod ports;
mod postgres;
mod programs;
mod redis;
mod redis_server;
mod secrets;
mod services;
mod spawner;
mod stack;
pub mod up;

pub use env::Env;
pub use error::Error;
pub use interrupt::Interrupt;
pub use nginx::Front;
pub use options::Options;
pub use part::Part;
pub use redis_server::RedisServer;
pub use rustix::process::Signal;
pub use stack::Stack;
