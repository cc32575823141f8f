//! The coefficients that a smaller picture is made of (T.81, A.3.3).

use std::ops::Range;

/// Row × 8 + column of each coefficient of a block, in zigzag order (T.81, figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Those of some of a component's blocks: of each block as many across and down as there will be samples of it.
pub(super) struct Coefficients {
    /// The blocks, across.
    columns: Range<usize>,
    /// The blocks, down.
    rows: Range<usize>,
    /// How many of a block are kept, across and down: 1, 2, 4 or 8.
    pub(super) kept: (usize, usize),
    /// Where in [`Self::values`] each one is, in zigzag order, counted from the block's first; `usize::MAX` is nowhere.
    places: [usize; 64],
    /// The last that is kept, in zigzag order.
    last: u32,
    /// Row by row, and in each row block by block.
    pub(super) values: Vec<i16>,
}

impl Coefficients {
    pub(super) fn new(columns: Range<usize>, rows: Range<usize>, kept: (usize, usize)) -> Self {
        let width = columns.len() * kept.0;
        let place = |natural: u8| {
            let (row, column) = (usize::from(natural / 8), usize::from(natural % 8));
            if column < kept.0 && row < kept.1 { row * width + column } else { usize::MAX }
        };
        let places = ZIGZAG.map(place);
        let last = (0..).zip(places).filter(|(_, place)| *place != usize::MAX).map(|(index, _)| index).last();
        let values = vec![0; width * rows.len() * kept.1];
        Self { columns, rows, kept, places, last: last.unwrap_or_default(), values }
    }

    /// How many there are in a row.
    pub(super) fn width(&self) -> usize {
        self.columns.len() * self.kept.0
    }

    /// The block at `x` and `y`, counted in blocks from the component's first, if it is of those that are kept.
    #[inline]
    pub(super) fn block(&mut self, x: usize, y: usize) -> Option<Block<'_>> {
        if !self.columns.contains(&x) || !self.rows.contains(&y) {
            return None;
        }
        let start = (y - self.rows.start) * self.kept.1 * self.width() + (x - self.columns.start) * self.kept.0;
        let values = self.values.get_mut(start..)?;
        Some(Block { values, places: &self.places, last: self.last })
    }
}

/// What is kept of a block.
pub(super) struct Block<'a> {
    values: &'a mut [i16],
    places: &'a [usize; 64],
    last: u32,
}

impl Block<'_> {
    /// Whether `index`, in zigzag order, may be one that is kept.
    #[inline]
    pub(super) fn reaches(&self, index: u32) -> bool {
        index <= self.last
    }

    #[inline]
    pub(super) fn set(&mut self, index: u32, value: i32) {
        if let Some(kept) = self.value(index) {
            *kept = saturated(value);
        }
    }

    /// Adds `bit` to the DC coefficient (G.1.2.1).
    pub(super) fn refine_dc(&mut self, bit: i32) {
        if let Some(kept) = self.value(0) {
            *kept = saturated(i32::from(*kept) | bit);
        }
    }

    /// Moves an AC coefficient away from 0 by `amount` (G.1.2.3).
    pub(super) fn refine(&mut self, index: u32, amount: i32) {
        if let Some(kept) = self.value(index) {
            let value = i32::from(*kept);
            *kept = saturated(if value < 0 { value - amount } else { value + amount });
        }
    }

    #[inline]
    fn value(&mut self, index: u32) -> Option<&mut i16> {
        self.values.get_mut(*self.places.get(index as usize)?)
    }
}

/// Larger ones than fit are of no 8-bit picture.
#[inline]
fn saturated(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}
