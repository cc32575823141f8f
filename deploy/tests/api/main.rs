//! Tests of the API over sockets: one directory per area, one file per noun. `commands` tests the command lines.
//!
//! `STACK=DIR/env` names a running stack (`deploy/test` starts one); tests that stop parts of a stack, or need settings of
//! their own, start a private one. `deploy/test-containers` runs the tests against containers, and [`containers`] only
//! there.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::case_sensitive_file_extension_comparisons,
    unreachable_pub,
    reason = "a test ends with its first surprise"
)]

mod commands;
mod containers;
mod edge;
mod endpoints;
mod faults;
mod pictures;
mod postgres;
mod redis;
mod support;
