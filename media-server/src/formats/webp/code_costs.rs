//! Costs of image-webp's prefix codes.

pub(super) const LENGTH_MAX: usize = 15;

/// Number of codewords by length. Length 0 is that of unused symbols.
pub(super) type LengthCounts = [u16; LENGTH_MAX + 1];

/// Codewords up to this length are in the table's first level.
const TABLE_BITS: usize = 10;

const ENTRY_BYTES: u64 = 4;
const NODE_BYTES: u64 = 16;
/// A group of five codes, three times: its vector grows by copying to one of twice the size.
const GROUP_BYTES: u64 = 3 * 5 * 56;
/// Allocator overhead of the two vectors of a code.
const ALLOCATOR_BYTES: u64 = 2 * 16;

/// Memory and work of a bitstream's prefix codes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CodeCosts {
    pub(super) bytes: u64,
    pub(super) steps: u64,
}

impl CodeCosts {
    pub(super) fn add_group(&mut self) {
        self.bytes += GROUP_BYTES;
    }

    /// Adds a simple code.
    pub(super) fn add_simple(&mut self, has_two: bool) {
        self.bytes += if has_two { 2 * ENTRY_BYTES + 3 * NODE_BYTES + ALLOCATOR_BYTES } else { 0 };
    }

    /// Adds a code that is written as code lengths.
    pub(super) fn add_code(&mut self, counts: &LengthCounts, alphabet: u16) {
        self.steps += u64::from(alphabet) / 2;
        if counts.iter().sum::<u16>() < 2 {
            return;
        }
        let longest = counts.iter().rposition(|count| *count > 0).unwrap_or_default();
        let entries = 1u64 << longest.min(TABLE_BITS);
        let longer: u64 = counts.iter().skip(TABLE_BITS + 1).map(|count| u64::from(*count)).sum();
        self.bytes += entries * ENTRY_BYTES + 2 * longer * NODE_BYTES + ALLOCATOR_BYTES;
        self.steps += entries / 4 + longer * 4;
    }
}
