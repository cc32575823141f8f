//! nginx as the edge: the client behind proxies, health, addresses, idle connections, reload. Each test starts a stack of its
//! own.

mod forwarding;
mod health;
mod listening;
mod proxy_protocol;

use std::net::Ipv4Addr;

/// The loopback address of a trusted proxy; every other one is a client's.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

const TRUSTED: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.3");
