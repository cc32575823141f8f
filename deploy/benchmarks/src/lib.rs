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
//! | [`wrk`], [`wire`], [`client`] | the clients: wrk for what can be replayed, two of our own for what can't |
//! | [`pictures`] | pictures, and a media-server and an nginx of their own |
//! | [`chain`], [`threads`] | one exchange after the other on many connections; one piece of work after the other on many threads |
//! | [`bare`] | the limit of an answer: warp and nothing else |
//! | [`process`] | how a process of the bench's own is started |
//! | [`memory`], [`cpu`], [`machine`] | memory and CPU time of processes, and what else the machine does |
//! | [`command`] | `deploy/bench`'s arguments |

pub mod bare;
pub mod bench;
pub mod chain;
pub mod client;
pub mod command;
pub mod cpu;
pub mod deployment;
mod error;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod pictures;
pub mod population;
pub mod process;
pub mod row;
pub mod rows;
pub mod table;
pub mod threads;
pub mod wire;
pub mod wrk;

pub use bench::Bench;
pub use deployment::Deployment;
pub use error::Error;
