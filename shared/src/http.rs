//! The HTTP layer of both services: sockets, routes, bodies, errors.

pub mod access;
pub mod body;
pub mod healthcheck;
mod in_flight;
mod parse_errors;
pub mod problem;
pub mod route;
pub mod serve;

pub use problem::{Problem, excerpt};
