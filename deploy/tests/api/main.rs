//! The API, tested over its front door, as `http-api.md` has it: one file per noun.
//!
//! `STACK=DIR/env` names a running stack (`deploy/test` starts one); what stops parts of a stack, or needs settings of
//! its own, starts a private one. `deploy/test-containers` runs them against containers, and [`containers`] there only.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::case_sensitive_file_extension_comparisons,
    unreachable_pub,
    reason = "a test ends with its first surprise"
)]

mod bodies;
mod bucket_faults;
mod cleaning;
mod commands;
mod connections;
mod containers;
mod crashes;
mod delete_me;
mod disk_faults;
mod everywhere;
mod forged_tokens;
mod front;
mod keys;
mod login;
mod logs;
mod me;
mod orphans;
mod outages;
mod overload;
mod picture_cache;
mod pictures;
mod postgres_faults;
mod redis_topologies;
mod refresh;
mod refreshing_clients;
mod register;
mod renditions;
mod request_limits;
mod revocation;
mod rotation;
mod sessions;
mod storage;
mod support;
mod throttle;
mod update;
