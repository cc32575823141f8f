//! DCT coefficients of the blocks inside the crop (T.81, A.3.3).

use std::ops::Range;

/// Row × 8 + column of each coefficient, in zigzag order (T.81, figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The low-frequency coefficients of a range of a component's blocks.
pub(super) struct Coefficients {
    /// In blocks.
    columns: Range<usize>,
    /// In blocks.
    rows: Range<usize>,
    /// Coefficients kept of a block, on the x and y axis: 1, 2, 4 or 8.
    pub(super) idct_size: (usize, usize),
    /// By zigzag index: the offset in [`Self::values`] from the block's first; `usize::MAX` for those not kept.
    offsets: [usize; 64],
    /// The last zigzag index that is kept.
    last: u32,
    /// Row by row, the blocks of a row interleaved.
    pub(super) values: Vec<i16>,
}

impl Coefficients {
    pub(super) fn new(columns: Range<usize>, rows: Range<usize>, idct_size: (usize, usize)) -> Self {
        let width = columns.len() * idct_size.0;
        let offset = |natural: u8| {
            let (row, column) = (usize::from(natural / 8), usize::from(natural % 8));
            if column < idct_size.0 && row < idct_size.1 { row * width + column } else { usize::MAX }
        };
        let offsets = ZIGZAG.map(offset);
        let last = (0..).zip(offsets).filter(|(_, offset)| *offset != usize::MAX).map(|(index, _)| index).last();
        let values = vec![0; width * rows.len() * idct_size.1];
        Self { columns, rows, idct_size, offsets, last: last.unwrap_or_default(), values }
    }

    /// Returns the coefficients of a row.
    pub(super) fn width(&self) -> usize {
        self.columns.len() * self.idct_size.0
    }

    /// Returns block (`x`, `y`) of the component, if it is inside the crop.
    #[inline]
    pub(super) fn block(&mut self, x: usize, y: usize) -> Option<CoefficientBlock<'_>> {
        if !self.columns.contains(&x) || !self.rows.contains(&y) {
            return None;
        }
        let start =
            (y - self.rows.start) * self.idct_size.1 * self.width() + (x - self.columns.start) * self.idct_size.0;
        let values = self.values.get_mut(start..)?;
        Some(CoefficientBlock { values, offsets: &self.offsets, last: self.last })
    }
}

/// The coefficients kept of one block.
pub(super) struct CoefficientBlock<'a> {
    values: &'a mut [i16],
    offsets: &'a [usize; 64],
    last: u32,
}

impl CoefficientBlock<'_> {
    /// Whether the coefficient with this zigzag index may be kept.
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

    /// Sets a bit of the DC coefficient (G.1.2.1).
    pub(super) fn refine_dc(&mut self, bit: i32) {
        if let Some(kept) = self.value(0) {
            *kept = saturated(i32::from(*kept) | bit);
        }
    }

    /// Increases the magnitude of an AC coefficient (G.1.2.3).
    pub(super) fn refine(&mut self, index: u32, amount: i32) {
        if let Some(kept) = self.value(index) {
            let value = i32::from(*kept);
            *kept = saturated(if value < 0 { value - amount } else { value + amount });
        }
    }

    #[inline]
    fn value(&mut self, index: u32) -> Option<&mut i16> {
        self.values.get_mut(*self.offsets.get(index as usize)?)
    }
}

/// Larger values do not occur with 8-bit samples.
#[inline]
fn saturated(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}
