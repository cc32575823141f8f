//! Which slot of a Cluster a key is in, and which key a command is about.

use redis::{Arg, Cmd, Pipeline};

/// Where a command is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where this slot is.
    Slot(u16),
    /// Anywhere.
    AnyNode,
    /// On every node: a script is loaded.
    EveryNode,
}

impl Place {
    /// The place of a command: of those that this service sends, as its tests on a Cluster show. A script's keys, and those
    /// of any other command, are in one slot.
    pub(super) fn of(cmd: &Cmd) -> Self {
        let mut words = cmd.args_iter().map(|arg| match arg {
            Arg::Simple(word) => word,
            _ => b"",
        });
        let key = match words.next() {
            Some(b"SCRIPT") => return Self::EveryNode,
            Some(b"EVALSHA") => words.nth(2),
            Some(b"PING") | None => None,
            Some(_) => words.next(),
        };
        key.map_or(Self::AnyNode, |key| Self::Slot(slot_of(key)))
    }

    /// That of the first command with a key.
    pub(super) fn of_first(pipeline: &Pipeline) -> Self {
        pipeline.cmd_iter().map(Self::of).find(|place| matches!(place, Self::Slot(_))).unwrap_or(Self::AnyNode)
    }
}

/// The slot of a key: of what is between its first braces, if there is something.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % 16384
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let start = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(start + 1..)?;
    let end = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..end).filter(|tag| !tag.is_empty())
}

/// CRC-16/XMODEM, a byte at a time and without a table.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let high = (crc >> 8) ^ u16::from(*byte);
        let high = high ^ (high >> 4);
        (crc << 8) ^ (high << 12) ^ (high << 5) ^ high
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_slots_that_redis_says() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // CLUSTER KEYSLOT foo; the others follow from the Cluster specification.
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"session:{foo}:bar"), 12182);
        assert_eq!(slot_of(b"{foo}{bar}"), 12182);
        assert_eq!(slot_of(b"a{}foo"), crc16(b"a{}foo") % 16384);
        assert_eq!(slot_of(b"a{foo"), crc16(b"a{foo") % 16384);
    }

    #[test]
    fn a_command_is_run_where_its_key_is() {
        let foo = Place::Slot(12182);
        assert_eq!(Place::of(redis::cmd("HMGET").arg("foo").arg("bar")), foo);
        assert_eq!(Place::of(redis::cmd("EVALSHA").arg("sha").arg(2).arg("foo").arg("{foo}2").arg("x")), foo);
        assert_eq!(Place::of(redis::cmd("SCRIPT").arg("LOAD").arg("return 1")), Place::EveryNode);
        assert_eq!(Place::of(&redis::cmd("PING")), Place::AnyNode);
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").cmd("HGETALL").arg("foo");
        assert_eq!(Place::of_first(&pipeline), foo);
    }
}
