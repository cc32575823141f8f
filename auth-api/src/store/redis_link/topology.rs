//! Which node of a Cluster has which slots.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Value};

use super::address::Server;
use super::connection::failed;

/// What one node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// How new it is: the highest election that the node knows of. Of a node that is cut off, it stays behind.
    pub(super) epoch: u64,
    /// Of each range of slots its last and its master, by its first.
    pub(super) ranges: BTreeMap<u16, (u16, Server)>,
}

impl View {
    /// Asks the node at `server`.
    pub(super) async fn of(server: &Server, mut node: MultiplexedConnection) -> RedisResult<Self> {
        let (info, slots): (String, Vec<Vec<Value>>) =
            redis::pipe().cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS").query_async(&mut node).await?;
        let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")?.trim().parse().ok());
        let ranges = slots.into_iter().map(|range| parse(range, server)).collect::<RedisResult<_>>()?;
        Ok(Self { epoch: epoch.unwrap_or_default(), ranges })
    }

    /// The master of a slot.
    pub(super) fn master(&self, slot: u16) -> Option<&Server> {
        let (_, (last, server)) = self.ranges.range(..=slot).next_back()?;
        (slot <= *last).then_some(server)
    }

    /// All masters.
    pub(super) fn masters(&self) -> impl Iterator<Item = &Server> {
        self.ranges.values().map(|(_, server)| server)
    }
}

/// A range: its first slot, its last, and its nodes, master first: host, port, and more.
fn parse(range: Vec<Value>, asked: &Server) -> RedisResult<(u16, (u16, Server))> {
    let mut range = range.into_iter();
    let (first, last) = (number(range.next())?, number(range.next())?);
    let Some(Value::Array(master)) = range.next() else { return Err(failed("a range of slots has no master")) };
    let mut master = master.into_iter();
    let host: Option<String> = FromRedisValue::from_redis_value(master.next().unwrap_or(Value::Nil))?;
    // A node that does not know its own address leaves it out: it is where it was asked.
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.host.clone());
    Ok((first, (last, Server { host, port: number(master.next())? })))
}

fn number(value: Option<Value>) -> RedisResult<u16> {
    Ok(FromRedisValue::from_redis_value(value.unwrap_or(Value::Nil))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec()), Value::Array(vec![])])
    }

    #[test]
    fn a_slot_has_the_master_of_its_range() {
        let asked = Server { host: "asked".to_owned(), port: 1 };
        let ranges = [
            vec![Value::Int(0), Value::Int(99), node(Value::BulkString(b"a".to_vec()), 2), node(Value::Nil, 9)],
            vec![Value::Int(200), Value::Int(16383), node(Value::Nil, 3)],
        ];
        let ranges = ranges.into_iter().map(|range| parse(range, &asked)).collect::<RedisResult<_>>().unwrap();
        let view = View { epoch: 0, ranges };
        let master = |slot| view.master(slot).map(ToString::to_string);
        assert_eq!(master(0).as_deref(), Some("a:2"));
        assert_eq!(master(99).as_deref(), Some("a:2"));
        assert_eq!(master(100), None);
        assert_eq!(master(16383).as_deref(), Some("asked:3"));
    }

    #[test]
    fn a_reply_of_another_shape_is_an_error() {
        let asked = Server { host: "asked".to_owned(), port: 1 };
        for range in [vec![], vec![Value::Int(0), Value::Int(70_000)], vec![Value::Int(0), Value::Int(1), Value::Nil]] {
            assert!(parse(range, &asked).is_err());
        }
    }
}
