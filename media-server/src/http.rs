//! Parsing of request headers and queries.

pub mod conditional;
pub mod nginx_cache;
pub mod range;
pub mod rendition_query;
