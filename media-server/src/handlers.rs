//! Handlers of both listeners, a function for each route.

pub mod delivery;
pub mod listing;
pub mod readiness;
pub mod uploads;
