//! The LZW codes of a GIF's image (`GIF89a`, appendix F): how many pixels they make, and where they end.

use crate::images::Refusal;

const CODE_BITS_MAX: u32 = 12;
const CODES_MAX: usize = 1 << CODE_BITS_MAX;

/// Follows codes without making pixels: of each it knows the length of its string.
pub(super) struct Codes {
    /// By code.
    lengths: Box<[u32; CODES_MAX]>,
    clear: usize,
    code_bits_min: u32,
}

/// Where the codes of an image end.
pub(super) struct End {
    /// Bits before the code that ends the information, or would.
    pub(super) bits: usize,
    /// That code's own.
    pub(super) code: usize,
    pub(super) code_bits: u32,
}

impl Codes {
    pub(super) fn new() -> Self {
        Self { lengths: Box::new([1; CODES_MAX]), clear: 0, code_bits_min: 0 }
    }

    /// Follows `codes` until they have made so many pixels.
    pub(super) fn follow(&mut self, code_size: u8, codes: &[u8], pixels: usize) -> Result<End, Refusal> {
        if !(1..CODE_BITS_MAX).contains(&code_size.into()) {
            return Err(Refusal::Broken("codes of a size that can not be".to_owned()));
        }
        self.clear = 1 << code_size;
        self.code_bits_min = u32::from(code_size) + 1;
        let (mut left, mut at) = (pixels, 0);
        let (mut next, mut code_bits, mut before) = (self.clear + 2, self.code_bits_min, None);
        while left > 0 {
            let code = read(codes, at, code_bits).ok_or(Refusal::Truncated)?;
            at += code_bits as usize;
            if code == self.clear {
                (next, code_bits, before) = (self.clear + 2, self.code_bits_min, None);
                continue;
            }
            if code == self.clear + 1 {
                return Err(Refusal::Truncated);
            }
            let length = self.length(code, next, before)?;
            left = left.saturating_sub(length as usize);
            if let Some(entry) = before.and_then(|_| self.lengths.get_mut(next)) {
                *entry = before.unwrap_or(0) + 1;
                next += 1;
                if next == 1 << code_bits && code_bits < CODE_BITS_MAX {
                    code_bits += 1;
                }
            }
            before = Some(length);
        }
        Ok(End { bits: at, code: self.clear + 1, code_bits })
    }

    /// The pixels that a code makes; the next code is the string before it and one pixel.
    fn length(&self, code: usize, next: usize, before: Option<u32>) -> Result<u32, Refusal> {
        let of_known = || self.lengths.get(code).copied().filter(|_| code < next);
        match before {
            _ if code < self.clear => Ok(1),
            Some(before) if code == next && next < CODES_MAX => Ok(before + 1),
            _ => of_known().ok_or_else(|| Refusal::Broken("a code that is not in its table".to_owned())),
        }
    }
}

/// The `count` bits, up to 12, from bit `at` on: the lowest of a byte first. None where they are not all there.
fn read(codes: &[u8], at: usize, count: u32) -> Option<usize> {
    let first = at / 8;
    if at + count as usize > codes.len() * 8 {
        return None;
    }
    let byte = |index: usize| codes.get(index).copied().map_or(0, usize::from);
    let bits = byte(first) | byte(first + 1) << 8 | byte(first + 2) << 16;
    Some(bits >> (at % 8) & ((1 << count) - 1))
}
