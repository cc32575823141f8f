//! `REDIS_URL`: which servers, in which arrangement.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// What `REDIS_URL` may be; completes the sentence "it may be …".
pub const FORMS: &str = "redis://HOST:PORT/DATABASE, redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DATABASE or \
     redis-cluster://HOST:PORT,HOST:PORT; with TLS rediss://, rediss-sentinel:// or rediss-cluster://; USER@ may stand before the hosts";

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// Without brackets where it is an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// How Redis is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// One server.
    Single(Server),
    /// A master and its replicas, watched by Sentinels, which say who the master is.
    Sentinel {
        /// Where the Sentinels are.
        sentinels: Vec<Server>,
        /// What they call the master.
        master: String,
    },
    /// A Redis Cluster.
    Cluster {
        /// Some of its nodes, which know the others.
        nodes: Vec<Server>,
    },
}

/// A parsed `REDIS_URL`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// Which servers.
    pub arrangement: Arrangement,
    /// Whether TLS is spoken, with the Sentinels too.
    pub tls: bool,
    /// The database; a Cluster has only 0.
    pub database: i64,
    /// The user, where Redis has users of its own.
    pub user: Option<String>,
    /// The password, if it stands in the URL and not in a file.
    pub password: Option<String>,
}

/// Which form it is: each has a scheme with TLS and one without.
enum Form {
    Single,
    Sentinel,
    Cluster,
}

impl FromStr for RedisAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once("://").ok_or(())?;
        let (form, tls) = match scheme {
            "redis" => (Form::Single, false),
            "rediss" => (Form::Single, true),
            "redis-sentinel" => (Form::Sentinel, false),
            "rediss-sentinel" => (Form::Sentinel, true),
            "redis-cluster" => (Form::Cluster, false),
            "rediss-cluster" => (Form::Cluster, true),
            _ => return Err(()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let default_port = if matches!(form, Form::Sentinel) { SENTINEL_PORT } else { PORT };
        let servers = hosts.split(',').map(|text| server(text, default_port)).collect::<Result<Vec<_>, ()>>()?;
        let (arrangement, database) = match form {
            Form::Single => {
                let [server] = <[Server; 1]>::try_from(servers).map_err(drop)?;
                (Arrangement::Single(server), database(path)?)
            }
            Form::Sentinel => {
                let (master, path) = path.split_once('/').unwrap_or((path, ""));
                let master = decoded(master)?.ok_or(())?;
                (Arrangement::Sentinel { sentinels: servers, master }, database(path)?)
            }
            Form::Cluster => (Arrangement::Cluster { nodes: servers }, database(path)?),
        };
        if matches!(arrangement, Arrangement::Cluster { .. }) && database != 0 {
            return Err(());
        }
        Ok(Self { arrangement, tls, database, user: decoded(user)?, password: decoded(password)? })
    }
}

fn server(text: &str, default_port: u16) -> Result<Server, ()> {
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
    Ok(Server { host: host.to_owned(), port })
}

fn database(path: &str) -> Result<i64, ()> {
    if path.is_empty() { Ok(0) } else { path.parse::<u32>().map(i64::from).map_err(drop) }
}

/// The text with its `%41` decoded; `None` if it is empty.
fn decoded(text: &str) -> Result<Option<String>, ()> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(drop)?;
    Ok(Some(decoded.into_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.to_owned(), port }
    }

    fn parsed(text: &str) -> RedisAddress {
        text.parse().unwrap_or_else(|()| panic!("{text} is refused"))
    }

    #[test]
    fn one_server_has_a_host_and_may_have_the_rest() {
        let address = parsed("redis://127.0.0.1:6380/3");
        assert_eq!(address.arrangement, Arrangement::Single(server("127.0.0.1", 6380)));
        assert_eq!((address.database, address.tls), (3, false));
        assert_eq!(parsed("redis://redis").arrangement, Arrangement::Single(server("redis", 6379)));
        assert_eq!(parsed("rediss://[::1]:7/").arrangement, Arrangement::Single(server("::1", 7)));
        assert!(parsed("rediss://[::1]").tls);
    }

    #[test]
    fn a_user_and_a_password_may_stand_before_the_hosts() {
        let address = parsed("redis://ann:p%40ss@redis:1");
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("ann"), Some("p@ss")));
        let address = parsed("redis-cluster://:secret@a,b");
        assert_eq!((address.user, address.password.as_deref()), (None, Some("secret")));
    }

    #[test]
    fn sentinels_name_a_master() {
        let address = parsed("rediss-sentinel://a:1,b/users/2");
        let sentinels = vec![server("a", 1), server("b", 26379)];
        assert_eq!(address.arrangement, Arrangement::Sentinel { sentinels, master: "users".to_owned() });
        assert_eq!((address.database, address.tls), (2, true));
    }

    #[test]
    fn a_cluster_has_nodes_and_one_database() {
        let nodes = vec![server("a", 1), server("b", 6379)];
        assert_eq!(parsed("redis-cluster://a:1,b").arrangement, Arrangement::Cluster { nodes });
        assert!("redis-cluster://a/1".parse::<RedisAddress>().is_err());
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "redis",
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
