//! What rows are measured with.
//!
//! | module | contents |
//! | --- | --- |
//! | [`row`] | definition of a row: name, target, candidate and baseline |
//! | [`measure`], [`table`] | measures a row; prints the results |
//! | [`bench`](mod@bench) | the stacks and servers of a run |
//! | [`deployment`], [`population`] | a running stack; its users and sessions |
//! | [`media`] | test pictures, a media-server behind an nginx, an nginx that serves files |
//! | [`wrk`], [`raw_client`], [`http_client`] | clients: wrk for requests that can be replayed, two own ones for the rest |
//! | [`closed_loop`], [`threads`] | closed-loop load on many connections; CPU work on many threads |
//! | [`baseline_server`] | the baseline of a response: a minimal warp server |
//! | [`memory`], [`cpu`], [`machine`] | memory and CPU time of processes; other load on the machine |

pub mod baseline_server;
pub mod bench;
pub mod closed_loop;
pub mod cpu;
pub mod deployment;
pub mod http_client;
pub mod machine;
pub mod measure;
pub mod media;
pub mod memory;
pub mod population;
pub mod raw_client;
pub mod row;
pub mod table;
pub mod threads;
pub mod wrk;

pub use bench::Bench;
pub use deployment::Deployment;
