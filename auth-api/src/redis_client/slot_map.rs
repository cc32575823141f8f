//! Slot map of a Cluster: the master of each range of slots.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Value};

use super::address::ServerAddress;
use super::connection::failed;

/// The slot map as one node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// The node's `cluster_current_epoch`. It stays behind on a node that is partitioned.
    pub(super) epoch: u64,
    /// Last slot and master of each range, by its first slot.
    pub(super) ranges: BTreeMap<u16, (u16, ServerAddress)>,
}

impl SlotMap {
    /// Reads the slot map of the node at `server`.
    pub(super) async fn read(server: &ServerAddress, mut node: MultiplexedConnection) -> RedisResult<Self> {
        let (info, slots): (String, Vec<Vec<Value>>) =
            redis::pipe().cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS").query_async(&mut node).await?;
        let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")?.trim().parse().ok());
        let ranges = slots.into_iter().map(|range| parse(range, server)).collect::<RedisResult<_>>()?;
        Ok(Self { epoch: epoch.unwrap_or_default(), ranges })
    }

    pub(super) fn master(&self, slot: u16) -> Option<&ServerAddress> {
        let (_, (last, server)) = self.ranges.range(..=slot).next_back()?;
        (slot <= *last).then_some(server)
    }

    pub(super) fn masters(&self) -> impl Iterator<Item = &ServerAddress> {
        self.ranges.values().map(|(_, server)| server)
    }
}

/// Parses a range of `CLUSTER SLOTS`: first slot, last slot, and its nodes, master first, as host, port, and more.
fn parse(range: Vec<Value>, queried: &ServerAddress) -> RedisResult<(u16, (u16, ServerAddress))> {
    let mut range = range.into_iter();
    let (first, last) = (number(range.next())?, number(range.next())?);
    let Some(Value::Array(master)) = range.next() else { return Err(failed("a range of slots has no master")) };
    let mut master = master.into_iter();
    let host: Option<String> = FromRedisValue::from_redis_value(master.next().unwrap_or(Value::Nil))?;
    // A node that does not know its own address omits it.
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| queried.host.clone());
    Ok((first, (last, ServerAddress { host, port: number(master.next())? })))
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
    fn a_slot_belongs_to_the_master_of_its_range() {
        let queried = ServerAddress { host: "queried".to_owned(), port: 1 };
        let ranges = [
            vec![Value::Int(0), Value::Int(99), node(Value::BulkString(b"a".to_vec()), 2), node(Value::Nil, 9)],
            vec![Value::Int(200), Value::Int(16383), node(Value::Nil, 3)],
        ];
        let ranges = ranges.into_iter().map(|range| parse(range, &queried)).collect::<RedisResult<_>>().unwrap();
        let map = SlotMap { epoch: 0, ranges };
        let master = |slot| map.master(slot).map(ToString::to_string);
        assert_eq!(master(0).as_deref(), Some("a:2"));
        assert_eq!(master(99).as_deref(), Some("a:2"));
        assert_eq!(master(100), None);
        assert_eq!(master(16383).as_deref(), Some("queried:3"));
    }

    #[test]
    fn a_malformed_range_is_an_error() {
        let queried = ServerAddress { host: "queried".to_owned(), port: 1 };
        for range in [vec![], vec![Value::Int(0), Value::Int(70_000)], vec![Value::Int(0), Value::Int(1), Value::Nil]] {
            assert!(parse(range, &queried).is_err());
        }
    }
}
