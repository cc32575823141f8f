//! What both services need, and nothing that only one of them does: nothing here knows users or pictures.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`http`] | sockets, routes, bodies, and the one error a client sees |
//! | [`command`] | a service as a command: verbs, `--help`, exit codes |
//! | [`settings`] | the environment, read once; `--help` is made of the same lines |
//! | [`telemetry`] | logs: one JSON object a line, or text on a terminal |
//! | [`clock`], [`random`] | time and randomness as arguments |
//! | [`media_api`] | what auth-api and media-server say to each other |
//! | [`secret`] | secrets of the deployment, read from files |
//! | [`memory_budget`] | bytes that concurrent work shares |
//! | [`worker_pool`] | CPU-bound work on bounded threads |

pub mod clock;
pub mod command;
pub mod http;
pub mod media_api;
pub mod memory_budget;
pub mod random;
pub mod secret;
pub mod settings;
pub mod telemetry;
pub mod worker_pool;
