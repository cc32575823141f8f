//! What a JPEG's scans refer to (T.81, B.2.4): quantization and Huffman tables, and the restart interval.

use super::bits::Bits;
use super::huffman::HuffmanTable;
use crate::images::Refusal;

const TABLES: usize = 4;

/// The tables defined so far.
#[derive(Default)]
pub(super) struct Tables {
    quantization: [Option<[u16; 64]>; TABLES],
    dc: [Option<HuffmanTable>; TABLES],
    ac: [Option<HuffmanTable>; TABLES],
    /// MCUs between two restart markers; 0 for none.
    restart_interval: u32,
}

impl Tables {
    /// Reads the data of DQT.
    pub(super) fn define_quantization(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        while let [kind, rest @ ..] = data {
            let (steps, rest) = match kind >> 4 {
                0 => {
                    let (steps, rest) = rest.split_first_chunk::<64>().ok_or_else(broken_table)?;
                    (steps.map(u16::from), rest)
                }
                1 => {
                    let (steps, rest) = rest.split_first_chunk::<128>().ok_or_else(broken_table)?;
                    let mut steps = steps.as_chunks().0.iter().map(|step| u16::from_be_bytes(*step));
                    (std::array::from_fn(|_| steps.next().unwrap_or_default()), rest)
                }
                _ => return Err(broken_table()),
            };
            *self.quantization.get_mut(usize::from(kind & 15)).ok_or_else(broken_table)? = Some(steps);
            data = rest;
        }
        Ok(())
    }

    /// Reads the data of DHT.
    pub(super) fn define_huffman(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        while let [kind, rest @ ..] = data {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(broken_table)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (values, rest) = rest.split_at_checked(total).ok_or_else(broken_table)?;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(broken_table()),
            };
            let place = tables.get_mut(usize::from(kind & 15)).ok_or_else(broken_table)?;
            *place = Some(HuffmanTable::new(counts, values)?);
            data = rest;
        }
        Ok(())
    }

    /// Reads the data of DRI.
    pub(super) fn define_restarts(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let interval = data.try_into().map_err(|_| broken_table())?;
        self.restart_interval = u16::from_be_bytes(interval).into();
        Ok(())
    }

    pub(super) fn quantization(&self, table: u8) -> Result<&[u16; 64], Refusal> {
        self.quantization.get(usize::from(table)).and_then(Option::as_ref).ok_or_else(undefined)
    }

    pub(super) fn dc(&self, table: u8) -> Result<&HuffmanTable, Refusal> {
        self.dc.get(usize::from(table)).and_then(Option::as_ref).ok_or_else(undefined)
    }

    pub(super) fn ac(&self, table: u8) -> Result<&HuffmanTable, Refusal> {
        self.ac.get(usize::from(table)).and_then(Option::as_ref).ok_or_else(undefined)
    }

    /// The restarts of a scan that begins now.
    pub(super) fn restarts(&self) -> Restarts {
        Restarts { interval: self.restart_interval, left: self.restart_interval, number: 0 }
    }
}

/// Where restart markers are due (E.1.4).
pub(super) struct Restarts {
    interval: u32,
    left: u32,
    number: u8,
}

impl Restarts {
    /// Reads the restart marker that is due before the next MCU; whether there was one.
    #[inline]
    pub(super) fn before_mcu(&mut self, bits: &mut Bits<'_>) -> Result<bool, Refusal> {
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

pub(super) fn broken_table() -> Refusal {
    Refusal::Broken("a table that is not well-formed".to_owned())
}

fn undefined() -> Refusal {
    Refusal::Broken("a table is used that is not defined".to_owned())
}
