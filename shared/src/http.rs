//! HTTP as both services speak it.

pub mod access;
pub mod body;
pub mod healthcheck;
pub mod problem;
pub mod route;
pub mod serve;

pub use problem::{Problem, excerpt};
