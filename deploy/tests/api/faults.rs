//! Failures and overload of each dependency. Each test starts a stack or a service of its own.

mod bucket;
mod connections;
mod crashes;
mod disk;
mod outages;
pub mod overload;
mod postgres;
