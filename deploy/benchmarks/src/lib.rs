//! `deploy/bench`: each row compares a candidate with its baseline, measured alternately in one run, so that other load on
//! the machine affects both.
//!
//! [`rows`] has the rows, a file per noun; a new row goes into its list. [`harness`] has what measures them; [`command`]
//! parses the arguments and runs the rows.

pub mod command;
mod error;
pub mod harness;
pub mod rows;

pub use error::Error;
