//! Routing of commands in a Cluster: the slot of a command's key.

use redis::{Arg, Cmd, Pipeline};

/// Target of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Slot(u16),
    AnyNode,
    /// `SCRIPT LOAD`.
    EveryNode,
}

impl Route {
    /// The route of a command: it knows those that this service sends. All keys of a command are in one slot.
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

    /// The route of the first command with a key.
    pub(super) fn of_first(pipeline: &Pipeline) -> Self {
        pipeline.cmd_iter().map(Self::of).find(|route| matches!(route, Self::Slot(_))).unwrap_or(Self::AnyNode)
    }
}

/// Number of slots.
pub(super) const SLOTS: u16 = 16384;

/// Returns the slot of a key: of its hash tag, the text between its first braces, if there is one.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let start = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(start + 1..)?;
    let end = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..end).filter(|tag| !tag.is_empty())
}

/// CRC-16/XMODEM, without a table.
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
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // CLUSTER KEYSLOT foo; the others follow from the Cluster specification.
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"session:{foo}:bar"), 12182);
        assert_eq!(slot_of(b"{foo}{bar}"), 12182);
        assert_eq!(slot_of(b"a{}foo"), crc16(b"a{}foo") % 16384);
        assert_eq!(slot_of(b"a{foo"), crc16(b"a{foo") % 16384);
    }

    #[test]
    fn a_command_is_routed_by_its_first_key() {
        let foo = Route::Slot(12182);
        assert_eq!(Route::of(redis::cmd("HMGET").arg("foo").arg("bar")), foo);
        assert_eq!(Route::of(redis::cmd("EVALSHA").arg("sha").arg(2).arg("foo").arg("{foo}2").arg("x")), foo);
        assert_eq!(Route::of(redis::cmd("SCRIPT").arg("LOAD").arg("return 1")), Route::EveryNode);
        assert_eq!(Route::of(&redis::cmd("PING")), Route::AnyNode);
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").cmd("HGETALL").arg("foo");
        assert_eq!(Route::of_first(&pipeline), foo);
    }
}
