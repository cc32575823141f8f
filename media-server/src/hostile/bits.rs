//! Bit writer, least significant bit of a byte first: lossless WebP, deflate, LZW.

#[derive(Clone, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    buffer: u64,
    count: u32,
}

impl BitWriter {
    /// Writes the lowest `count` bits of `value`, 32 at most.
    pub(crate) fn write(&mut self, value: u32, count: u32) {
        self.buffer |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.buffer as u8);
            self.buffer >>= 8;
            self.count -= 8;
        }
    }

    /// Writes `(value, count)` pairs.
    pub(crate) fn write_all(&mut self, fields: &[(u32, u32)]) {
        for (value, count) in fields {
            self.write(*value, *count);
        }
    }

    /// Fills the last byte with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.buffer as u8);
        }
        self.bytes
    }
}
