//! What both services share. Of users it knows nothing, and of pictures only the contract between the services ([`media_api`]).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`http`] | server loop, routes, bodies, error responses |
//! | [`command`] | a service as a command: verbs, `--help`, exit codes |
//! | [`settings`] | environment variables, and `--help` generated from them |
//! | [`telemetry`] | logs: JSON lines, or text on a terminal |
//! | [`clock`], [`random`] | time and randomness as arguments |
//! | [`media_api`] | the internal API of media-server: names, headers, bodies |
//! | [`secret`] | secrets of the deployment, read from files |
//! | [`memory_budget`] | bytes that concurrent work shares |
//! | [`memory_limit`] | the memory limit of the container, which settings are checked against |
//! | [`worker_pool`] | CPU-bound work on bounded threads |

pub mod clock;
pub mod command;
pub mod http;
pub mod media_api;
pub mod memory_budget;
pub mod memory_limit;
pub mod random;
pub mod secret;
pub mod settings;
pub mod telemetry;
pub mod worker_pool;
