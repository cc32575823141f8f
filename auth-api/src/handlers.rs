//! The endpoints: a module per noun, a function per verb.

pub mod accounts;
pub mod docs;
pub mod health;
pub mod jwks;
pub mod responses;
pub mod sessions;
