//! `REDIS_URL`: servers and topology.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Syntax of `REDIS_URL`; completes the sentence "it may be …".
pub const URL_SYNTAX: &str = "redis://HOST:PORT/DATABASE, redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DATABASE or \
     redis-cluster://HOST:PORT,HOST:PORT; with TLS rediss://, rediss-sentinel:// or rediss-cluster://; USER@ may stand before the hosts";

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Host, by name or address, and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerAddress {
    /// An IPv6 address has no brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Deployment mode of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    Single(ServerAddress),
    Sentinel {
        sentinels: Vec<ServerAddress>,
        /// Name of the master in the Sentinels' configuration.
        master: String,
    },
    Cluster {
        /// Some of the nodes, which report the others.
        nodes: Vec<ServerAddress>,
    },
}

/// A parsed `REDIS_URL`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub topology: Topology,
    /// Whether TLS is used, also with the Sentinels.
    pub tls: bool,
    /// A Cluster has only database 0.
    pub database: i64,
    /// User of Redis's ACL.
    pub user: Option<String>,
    /// The password, if it is in the URL and not in a file.
    pub password: Option<String>,
}

impl FromStr for RedisAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once("://").ok_or(())?;
        let (protocol, mode) = match scheme.split_once('-') {
            Some((protocol, mode)) => (protocol, Some(mode)),
            None => (scheme, None),
        };
        let tls = match protocol {
            "redis" => false,
            "rediss" => true,
            _ => return Err(()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let default_port = if mode == Some("sentinel") { SENTINEL_PORT } else { PORT };
        let servers = hosts.split(',').map(|text| server(text, default_port)).collect::<Result<Vec<_>, ()>>()?;
        let (topology, database) = match mode {
            None => {
                let [server] = <[ServerAddress; 1]>::try_from(servers).map_err(drop)?;
                (Topology::Single(server), database(path)?)
            }
            Some("sentinel") => {
                let (master, path) = path.split_once('/').unwrap_or((path, ""));
                let master = decoded(master)?.ok_or(())?;
                (Topology::Sentinel { sentinels: servers, master }, database(path)?)
            }
            Some("cluster") => (Topology::Cluster { nodes: servers }, database(path)?),
            Some(_) => return Err(()),
        };
        if matches!(topology, Topology::Cluster { .. }) && database != 0 {
            return Err(());
        }
        Ok(Self { topology, tls, database, user: decoded(user)?, password: decoded(password)? })
    }
}

fn server(text: &str, default_port: u16) -> Result<ServerAddress, ()> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']').ok_or(())?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(())?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(default_port), |port| port.parse().map_err(drop))?;
    let is_host = |character: char| character.is_ascii_alphanumeric() || "-._:".contains(character);
    if host.is_empty() || !host.chars().all(is_host) || port == 0 {
        return Err(());
    }
    Ok(ServerAddress { host: host.to_owned(), port })
}

fn database(path: &str) -> Result<i64, ()> {
    if path.is_empty() { Ok(0) } else { path.parse::<u32>().map(i64::from).map_err(drop) }
}

/// Percent-decodes the text; `None` if it is empty.
fn decoded(text: &str) -> Result<Option<String>, ()> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(drop)?;
    Ok(Some(decoded.into_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> ServerAddress {
        ServerAddress { host: host.to_owned(), port }
    }

    fn parsed(text: &str) -> RedisAddress {
        text.parse().unwrap_or_else(|()| panic!("{text} is rejected"))
    }

    #[test]
    fn a_single_server_needs_only_a_host() {
        let address = parsed("redis://127.0.0.1:6380/3");
        assert_eq!(address.topology, Topology::Single(server("127.0.0.1", 6380)));
        assert_eq!((address.database, address.tls), (3, false));
        assert_eq!(parsed("redis://redis").topology, Topology::Single(server("redis", 6379)));
        assert_eq!(parsed("rediss://[::1]:7/").topology, Topology::Single(server("::1", 7)));
        assert!(parsed("rediss://[::1]").tls);
    }

    #[test]
    fn user_and_password_precede_the_hosts() {
        let address = parsed("redis://ann:p%40ss@redis:1");
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("ann"), Some("p@ss")));
        let address = parsed("redis-cluster://:secret@a,b");
        assert_eq!((address.user, address.password.as_deref()), (None, Some("secret")));
    }

    #[test]
    fn sentinels_need_the_name_of_a_master() {
        let address = parsed("rediss-sentinel://a:1,b/users/2");
        let sentinels = vec![server("a", 1), server("b", 26379)];
        assert_eq!(address.topology, Topology::Sentinel { sentinels, master: "users".to_owned() });
        assert_eq!((address.database, address.tls), (2, true));
    }

    #[test]
    fn a_cluster_has_only_database_0() {
        let nodes = vec![server("a", 1), server("b", 6379)];
        assert_eq!(parsed("redis-cluster://a:1,b").topology, Topology::Cluster { nodes });
        assert!("redis-cluster://a/1".parse::<RedisAddress>().is_err());
    }

    #[test]
    fn malformed_urls_are_rejected() {
        for text in [
            "",
            "redis",
            "redis-://a",
            "http://a",
            "redis://",
            "redis://a,b",
            "redis://a:x",
            "redis://a:0",
            "redis://a:70000",
            "redis://a/x",
            "redis://a/-1",
            "redis://a/0?protocol=resp3",
            "redis://a b",
            "redis://[::1",
            "redis://%ff@a",
            "redis-sentinel://a:1",
            "redis-sentinel://a:1/",
            "redis-cluster://a,",
        ] {
            assert!(text.parse::<RedisAddress>().is_err(), "{text}");
        }
    }
}
