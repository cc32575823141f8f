//! Finds the tables (T.81, B.2.4) that a JPEG's scans use. The others are never decoded and may hide anything.

use std::ops::Range;

use super::frame::JpegFrame;
use super::segments::{DHT, DQT, DRI, SOS, SegmentAndScan};
use super::tables::malformed_table;
use crate::formats::{BLOCKS_MAX, ImageError, visits};

/// Marker, and class and destination identifier of a table: a definition replaces the one before.
type TableDestination = (u8, u8);

const RESTART_INTERVAL: TableDestination = (DRI, 0);

/// A table definition.
struct Definition {
    /// Index of the segment.
    segment: usize,
    /// In the segment's data.
    range: Range<usize>,
    is_used: bool,
}

/// Returns, by segment, the ranges of its data that define tables which a scan uses.
pub(super) fn used_tables(parts: &[SegmentAndScan<'_>]) -> Result<Vec<Vec<Range<usize>>>, ImageError> {
    let mut definitions: Vec<Definition> = Vec::new();
    let mut current: Vec<(TableDestination, usize)> = Vec::new();
    let mut frame = None;
    for (segment, part) in parts.iter().enumerate() {
        let data = part.segment.data;
        match part.segment.marker {
            marker @ (DHT | DQT | DRI) => {
                for (destination, range) in tables(marker, data)? {
                    visits::add(range.len());
                    current.retain(|(other, _)| *other != destination);
                    current.push((destination, definitions.len()));
                    definitions.push(Definition { segment, range, is_used: false });
                    if definitions.len() > BLOCKS_MAX {
                        return Err(ImageError::TooManyBlocks);
                    }
                }
            }
            marker @ 0xc0..=0xc2 if frame.is_none() => frame = Some(JpegFrame::parse(marker, data)?),
            SOS => {
                let used = frame.as_mut().map(|frame| destinations(data, frame)).unwrap_or_default();
                for (_, definition) in current.iter().filter(|(destination, _)| used.contains(destination)) {
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

/// Returns the tables that a segment defines.
fn tables(marker: u8, data: &[u8]) -> Result<Vec<(TableDestination, Range<usize>)>, ImageError> {
    if marker == DRI {
        return Ok(vec![(RESTART_INTERVAL, 0..data.len())]);
    }
    let mut tables = Vec::new();
    let mut start = 0;
    while let Some([kind, rest @ ..]) = data.get(start..).filter(|rest| !rest.is_empty()) {
        let (class, id) = (kind >> 4, kind & 15);
        // The upper bits of a quantization table are its precision, not a class.
        let (key, bytes) = if marker == DQT {
            (id, 64 * (1 + usize::from(class)))
        } else {
            (*kind, 16 + rest.iter().take(16).map(|count| usize::from(*count)).sum::<usize>())
        };
        let end = start + 1 + bytes;
        if class > 1 || id > 3 || end > data.len() {
            return Err(malformed_table());
        }
        tables.push(((marker, key), start..end));
        start = end;
    }
    Ok(tables)
}

/// Returns the tables that a scan uses. A component's quantization table is read by its first scan.
fn destinations(header: &[u8], frame: &mut JpegFrame) -> Vec<TableDestination> {
    let [count, rest @ ..] = header else { return Vec::new() };
    let Some((chosen, [first, _, approximation])) = rest.split_at_checked(2 * usize::from(*count)) else {
        return Vec::new();
    };
    // Classes of Huffman tables: 0 for DC, 1 for AC.
    let classes: &[u8] = match (frame.is_progressive, *first) {
        (false, _) => &[0, 1],
        (true, 0) if approximation >> 4 == 0 => &[0],
        (true, 0) => &[],
        (true, _) => &[1],
    };
    let mut destinations = vec![RESTART_INTERVAL];
    for [id, tables] in chosen.as_chunks().0 {
        let Some(component) = frame.components.iter_mut().find(|component| component.id == *id) else { continue };
        if !std::mem::replace(&mut component.has_dc, true) {
            destinations.push((DQT, component.quantization_table));
        }
        destinations.extend(
            classes.iter().map(|class| (DHT, class << 4 | if *class == 0 { tables >> 4 } else { tables & 15 })),
        );
    }
    destinations
}
