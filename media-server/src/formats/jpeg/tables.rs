//! Quantization tables, Huffman tables and the restart interval of a JPEG (T.81, B.2.4).

use super::bit_reader::EntropyReader;
use super::huffman::HuffmanTable;
use crate::formats::ImageError;

const TABLES: usize = 4;

/// The tables defined so far.
#[derive(Default)]
pub(super) struct Tables {
    quantization: [Option<[u16; 64]>; TABLES],
    dc: [Option<HuffmanTable>; TABLES],
    ac: [Option<HuffmanTable>; TABLES],
    /// In MCUs; 0 for none.
    restart_interval: u32,
}

impl Tables {
    /// Parses DQT.
    pub(super) fn define_quantization(&mut self, mut data: &[u8]) -> Result<(), ImageError> {
        while let [kind, rest @ ..] = data {
            let (steps, rest) = match kind >> 4 {
                0 => {
                    let (steps, rest) = rest.split_first_chunk::<64>().ok_or_else(malformed_table)?;
                    (steps.map(u16::from), rest)
                }
                1 => {
                    let (steps, rest) = rest.split_first_chunk::<128>().ok_or_else(malformed_table)?;
                    let mut steps = steps.as_chunks().0.iter().map(|step| u16::from_be_bytes(*step));
                    (std::array::from_fn(|_| steps.next().unwrap_or_default()), rest)
                }
                _ => return Err(malformed_table()),
            };
            *self.quantization.get_mut(usize::from(kind & 15)).ok_or_else(malformed_table)? = Some(steps);
            data = rest;
        }
        Ok(())
    }

    /// Parses DHT.
    pub(super) fn define_huffman(&mut self, mut data: &[u8]) -> Result<(), ImageError> {
        while let [kind, rest @ ..] = data {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(malformed_table)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (values, rest) = rest.split_at_checked(total).ok_or_else(malformed_table)?;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(malformed_table()),
            };
            let table = tables.get_mut(usize::from(kind & 15)).ok_or_else(malformed_table)?;
            *table = Some(HuffmanTable::new(counts, values)?);
            data = rest;
        }
        Ok(())
    }

    /// Parses DRI.
    pub(super) fn define_restarts(&mut self, data: &[u8]) -> Result<(), ImageError> {
        let interval = data.try_into().map_err(|_| malformed_table())?;
        self.restart_interval = u16::from_be_bytes(interval).into();
        Ok(())
    }

    pub(super) fn quantization(&self, table: u8) -> Result<&[u16; 64], ImageError> {
        self.quantization.get(usize::from(table)).and_then(Option::as_ref).ok_or_else(undefined)
    }

    pub(super) fn dc(&self, table: u8) -> Result<&HuffmanTable, ImageError> {
        self.dc.get(usize::from(table)).and_then(Option::as_ref).ok_or_else(undefined)
    }

    pub(super) fn ac(&self, table: u8) -> Result<&HuffmanTable, ImageError> {
        self.ac.get(usize::from(table)).and_then(Option::as_ref).ok_or_else(undefined)
    }

    /// Returns the restart state at the start of a scan.
    pub(super) fn restarts(&self) -> Restarts {
        Restarts { interval: self.restart_interval, left: self.restart_interval, number: 0 }
    }
}

/// Restart markers of a scan (E.1.4).
pub(super) struct Restarts {
    interval: u32,
    left: u32,
    number: u8,
}

impl Restarts {
    /// Reads the restart marker if one is due before the next MCU; returns whether it was.
    #[inline]
    pub(super) fn before_mcu(&mut self, bits: &mut EntropyReader<'_>) -> Result<bool, ImageError> {
        if self.interval == 0 {
            return Ok(false);
        }
        let is_due = self.left == 0;
        if is_due {
            bits.restart(self.number)?;
            self.number = (self.number + 1) % 8;
            self.left = self.interval;
        }
        self.left -= 1;
        Ok(is_due)
    }
}

pub(super) fn malformed_table() -> ImageError {
    ImageError::malformed("a malformed table")
}

fn undefined() -> ImageError {
    ImageError::malformed("an undefined table")
}
