//! The HTTP layer of both services: sockets, routes, bodies, errors.

pub mod access;
pub mod body;
pub mod healthcheck;
mod in_flight;
mod parse_errors;
pub mod problem;
pub mod request_head;
pub mod router;
pub mod serve;

pub use problem::{Problem, excerpt};
pub use request_head::RequestHead;
