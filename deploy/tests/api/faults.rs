//! Failures and overload of each dependency. Each test starts a stack or a service of its own.

mod bucket;
mod connections;
mod crashes;
mod disk;
mod outages;
mod overload;
mod postgres;

pub use overload::hashed;
