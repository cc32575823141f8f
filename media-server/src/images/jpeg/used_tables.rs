//! Which of a JPEG's tables (T.81, B.2.4) its scans use. The others are never read, and may hold anything.

use std::ops::Range;

use super::clean::Part;
use super::frame::Frame;
use super::segments::{DHT, DQT, DRI, SOS};
use super::tables::broken_table;
use crate::images::{BLOCKS_MAX, Refusal, visits};

/// A table's class and destination: a scan uses what was defined last of each.
type Slot = (u8, u8);

const RESTARTS: Slot = (DRI, 0);

/// A definition of a table: the segment's index, and where in its data.
struct Definition {
    segment: usize,
    range: Range<usize>,
    is_used: bool,
}

/// Of each segment the ranges of its data that define a table which a scan uses.
pub(super) fn used_tables(parts: &[Part<'_>]) -> Result<Vec<Vec<Range<usize>>>, Refusal> {
    let mut definitions: Vec<Definition> = Vec::new();
    let mut current: Vec<(Slot, usize)> = Vec::new();
    let mut frame = None;
    for (segment, part) in parts.iter().enumerate() {
        let data = part.segment.data;
        match part.segment.marker {
            marker @ (DHT | DQT | DRI) => {
                for (slot, range) in tables(marker, data)? {
                    visits::add(range.len());
                    current.retain(|(other, _)| *other != slot);
                    current.push((slot, definitions.len()));
                    definitions.push(Definition { segment, range, is_used: false });
                    if definitions.len() > BLOCKS_MAX {
                        return Err(Refusal::TooManyBlocks);
                    }
                }
            }
            marker @ 0xc0..=0xc2 if frame.is_none() => frame = Some(Frame::parse(marker, data)?),
            SOS => {
                let slots = frame.as_mut().map(|frame| slots(data, frame)).unwrap_or_default();
                for (_, definition) in current.iter().filter(|(slot, _)| slots.contains(slot)) {
                    definitions.get_mut(*definition).into_iter().for_each(|definition| definition.is_used = true);
                }
            }
            _ => {}
        }
    }
    let mut used = vec![Vec::new(); parts.len()];
    for Definition { segment, range, .. } in definitions.into_iter().filter(|definition| definition.is_used) {
        used.get_mut(segment).into_iter().for_each(|ranges| ranges.push(range.clone()));
    }
    Ok(used)
}

/// The tables that a segment defines.
fn tables(marker: u8, data: &[u8]) -> Result<Vec<(Slot, Range<usize>)>, Refusal> {
    if marker == DRI {
        return Ok(vec![(RESTARTS, 0..data.len())]);
    }
    let mut tables = Vec::new();
    let mut start = 0;
    while let Some([kind, rest @ ..]) = data.get(start..).filter(|rest| !rest.is_empty()) {
        let (class, destination) = (kind >> 4, kind & 15);
        // Of a quantization table the class is its precision, which is no part of the slot.
        let (slot, bytes) = if marker == DQT {
            (destination, 64 * (1 + usize::from(class)))
        } else {
            (*kind, 16 + rest.iter().take(16).map(|count| usize::from(*count)).sum::<usize>())
        };
        let end = start + 1 + bytes;
        if class > 1 || destination > 3 || end > data.len() {
            return Err(broken_table());
        }
        tables.push(((marker, slot), start..end));
        start = end;
    }
    Ok(tables)
}

/// What a scan with this header uses. A component's quantization table is the one that its first scan finds.
fn slots(header: &[u8], frame: &mut Frame) -> Vec<Slot> {
    let [count, rest @ ..] = header else { return Vec::new() };
    let Some((chosen, [first, _, approximation])) = rest.split_at_checked(2 * usize::from(*count)) else {
        return Vec::new();
    };
    // Classes of its Huffman tables: 0 for DC, 1 for AC.
    let classes: &[u8] = match (frame.is_progressive, *first) {
        (false, _) => &[0, 1],
        (true, 0) if approximation >> 4 == 0 => &[0],
        (true, 0) => &[],
        (true, _) => &[1],
    };
    let mut slots = vec![RESTARTS];
    for [id, tables] in chosen.as_chunks().0 {
        let Some(component) = frame.components.iter_mut().find(|component| component.id == *id) else { continue };
        if !std::mem::replace(&mut component.is_begun, true) {
            slots.push((DQT, component.quantization_table));
        }
        slots.extend(
            classes.iter().map(|class| (DHT, class << 4 | if *class == 0 { tables >> 4 } else { tables & 15 })),
        );
    }
    slots
}
