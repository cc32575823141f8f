//! `deploy/bench`: each row is ours beside its limit, measured in turn and in the same run, so that what the machine does
//! meanwhile befalls both.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`rows`] | the table's rows, a file per noun; a new one goes into its list |
//! | [`row`] | what a row is: its name, its reach, its two sides |
//! | [`measure`] | measures a row, side by side |
//! | [`table`] | prints what came of it |
//! | [`bench`](mod@bench) | what rows are measured on: stacks, bare server, time |
//! | [`deployment`], [`population`] | a running stack, and who lives in it |
//! | [`wrk`], [`client`] | the clients: wrk for what can be replayed, one of our own for what can't |
//! | [`bare`] | the limit of an answer: warp and nothing else |
//! | [`memory`], [`machine`] | what processes hold, and what else the machine does |
//! | [`command`] | `deploy/bench`'s arguments |

pub mod bare;
pub mod bench;
pub mod client;
pub mod command;
pub mod deployment;
mod error;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod population;
pub mod row;
pub mod rows;
pub mod table;
pub mod wrk;

pub use bench::Bench;
pub use deployment::Deployment;
pub use error::Error;
