//! Lossless WebP (RFC 9649, section 3), decoded to its symbols and not on to pixels, which could be made of any: nothing
//! is kept but its codes and which of them is used where. image-webp makes a gigabyte of the codes of some files of 5 MB.

use super::bits::Bits;
use super::codes::{CodeGroup, PIXEL_ALPHABETS};
use super::distances::distance;
use crate::images::Refusal;

/// The most memory that the codes of a picture may take, in bytes: libwebp writes some 2,600 groups at most, of 2 kB each.
const CODES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What decoding takes, in bytes.
pub(super) fn memory_bytes(data: &[u8], pixels: u64) -> u64 {
    // A code of 0.6 kB takes some bytes of the file at least.
    let codes = data.len().saturating_mul(256).min(CODES_BYTES_MAX) as u64;
    // Of each block of 4 × 4 pixels its group of codes, as a pixel and as a number.
    codes + pixels / 16 * 6 * 2
}

/// A lossless picture's own header (section 3.4): width and height.
pub(super) fn dimensions(data: &[u8]) -> Result<(u32, u32), Refusal> {
    let mut bits = Bits::new(data);
    if bits.read(8)? != 0x2f {
        return Err(Refusal::Broken("a lossless picture without its signature".to_owned()));
    }
    let dimensions = (bits.read(14)? + 1, bits.read(14)? + 1);
    bits.read(1)?;
    if bits.read(3)? != 0 {
        Err(Refusal::Broken("a lossless picture of another version".to_owned()))
    } else {
        Ok(dimensions)
    }
}

/// Decodes a lossless picture, its header included; returns how many bits of `data` it takes.
pub(super) fn decode(data: &[u8]) -> Result<usize, Refusal> {
    const HEADER_BITS: u32 = 40;
    let (width, height) = dimensions(data)?;
    let mut bits = Bits::new(data);
    bits.skip(HEADER_BITS)?;
    Ok(8 * data.len() - decode_headless(bits, width, height)?)
}

/// Decodes an alpha plane, which has the picture's dimensions and no header (section 2.7.1.2); returns how many bits of
/// `data` it takes.
pub(super) fn decode_alpha(data: &[u8], width: u32, height: u32) -> Result<usize, Refusal> {
    Ok(8 * data.len() - decode_headless(Bits::new(data), width, height)?)
}

/// Returns how many bits are left.
fn decode_headless(bits: Bits<'_>, mut width: u32, height: u32) -> Result<usize, Refusal> {
    let mut decoder = Decoder { bits, codes_bytes: 0 };
    let mut seen = 0u8;
    while decoder.bits.read(1)? == 1 {
        let transform = decoder.bits.read(2)?;
        if seen >> transform & 1 == 1 {
            return Err(Refusal::Broken("a transform is there twice".to_owned()));
        }
        seen |= 1 << transform;
        width = decoder.transform(transform, width, height)?;
    }
    decoder.image(width, height)?;
    Ok(decoder.bits.left())
}

struct Decoder<'a> {
    bits: Bits<'a>,
    codes_bytes: usize,
}

impl Decoder<'_> {
    /// Passes over a transform (section 4), and tells the width that is left.
    fn transform(&mut self, transform: u32, width: u32, height: u32) -> Result<u32, Refusal> {
        match transform {
            // Predictors or colours, one for each block.
            0 | 1 => {
                let block = 1 << (self.bits.read(3)? + 2);
                self.sub_image(width.div_ceil(block), height.div_ceil(block), None)?;
                Ok(width)
            }
            // Green was subtracted.
            2 => Ok(width),
            // A palette; of few colours several pixels are in one.
            _ => {
                let colours = self.bits.read(8)? + 1;
                self.sub_image(colours, 1, None)?;
                Ok(match colours {
                    1..=2 => width.div_ceil(8),
                    3..=4 => width.div_ceil(4),
                    5..=16 => width.div_ceil(2),
                    _ => width,
                })
            }
        }
    }

    /// The picture itself: which group of codes is used where, the groups, the pixels.
    fn image(&mut self, width: u32, height: u32) -> Result<(), Refusal> {
        let cache = self.cache()?;
        let mut groups_used = GroupImage { groups: Vec::new(), block_bits: 0, width: 1 };
        if self.bits.read(1)? == 1 {
            groups_used.block_bits = self.bits.read(3)? + 2;
            let block = 1 << groups_used.block_bits;
            groups_used.width = width.div_ceil(block);
            let mut pixels = Vec::new();
            self.sub_image(groups_used.width, height.div_ceil(block), Some(&mut pixels))?;
            // Red and green.
            let group = |pixel: u32| u16::try_from(pixel >> 8 & 0xffff).unwrap_or_default();
            groups_used.groups = pixels.into_iter().map(group).collect();
        }
        let count = groups_used.groups.iter().max().map_or(1, |last| usize::from(*last) + 1);
        let groups = (0..count).map(|_| self.group(cache)).collect::<Result<Vec<_>, _>>()?;
        self.pixels((width, height), &groups, &groups_used, None)
    }

    /// A small picture that the large one refers to; its pixels go to `pixels`, as alpha, red, green and blue.
    fn sub_image(&mut self, width: u32, height: u32, pixels: Option<&mut Vec<u32>>) -> Result<(), Refusal> {
        let cache = self.cache()?;
        let groups = [self.group(cache)?];
        let groups_used = GroupImage { groups: Vec::new(), block_bits: 0, width: 1 };
        let kept = pixels.map(|pixels| KeptPixels { pixels, cache: vec![0; 1 << cache], cache_bits: cache });
        self.pixels((width, height), &groups, &groups_used, kept)
    }

    /// The colour cache's bits (section 5.2.3); 0 for none.
    fn cache(&mut self) -> Result<u32, Refusal> {
        if self.bits.read(1)? == 0 {
            return Ok(0);
        }
        match self.bits.read(4)? {
            bits @ 1..=11 => Ok(bits),
            _ => Err(Refusal::Broken("a colour cache of a size that can not be".to_owned())),
        }
    }

    fn group(&mut self, cache_bits: u32) -> Result<CodeGroup, Refusal> {
        let cached = if cache_bits == 0 { 0 } else { 1 << cache_bits };
        let group = CodeGroup::read(&mut self.bits, cached)?;
        self.codes_bytes += group.memory_bytes();
        if self.codes_bytes > CODES_BYTES_MAX {
            return Err(Refusal::Broken(format!("codes of more than {CODES_BYTES_MAX} bytes")));
        }
        Ok(group)
    }

    /// Section 5.2: literals, copies, and colours of the cache, until there are enough.
    fn pixels(
        &mut self,
        (width, height): (u32, u32),
        groups: &[CodeGroup],
        groups_used: &GroupImage,
        mut kept: Option<KeptPixels<'_>>,
    ) -> Result<(), Refusal> {
        let (width, total) = (width as usize, width as usize * height as usize);
        let mut at = 0;
        let mut group = None;
        while at < total {
            if group.is_none() || groups_used.may_change_at(at, width) {
                group = groups.get(groups_used.group_at(at, width));
            }
            let codes = group.ok_or(Refusal::Truncated)?;
            let symbol = codes.green.read(&mut self.bits)?;
            at += match u32::from(symbol) {
                green @ ..256 => {
                    let colour = codes.read_colour(&mut self.bits, green)?;
                    if let Some(kept) = &mut kept {
                        kept.push(colour);
                    }
                    1
                }
                prefix @ 256..PIXEL_ALPHABETS => {
                    let length = self.bits.read_prefixed(prefix - 256)? as usize;
                    let distance_prefix = codes.distance.read(&mut self.bits)?;
                    let distance = distance(self.bits.read_prefixed(distance_prefix.into())?, width);
                    if distance > at || length > total - at {
                        return Err(Refusal::Broken("a copy from or to outside of the picture".to_owned()));
                    }
                    // The next pixel may be in another block.
                    group = None;
                    if let Some(kept) = &mut kept {
                        kept.copy(distance, length);
                    }
                    length
                }
                cached => {
                    if let Some(kept) = &mut kept {
                        kept.push_cached(cached - PIXEL_ALPHABETS);
                    }
                    1
                }
            };
        }
        Ok(())
    }
}

/// Which group of codes is used in which block of the picture (section 5.2.1).
struct GroupImage {
    /// Empty where there is but one.
    groups: Vec<u16>,
    block_bits: u32,
    /// In blocks.
    width: u32,
}

impl GroupImage {
    #[inline]
    fn may_change_at(&self, at: usize, width: usize) -> bool {
        !self.groups.is_empty() && (at % width) & ((1 << self.block_bits) - 1) == 0
    }

    #[inline]
    fn group_at(&self, at: usize, width: usize) -> usize {
        let (x, y) = ((at % width) >> self.block_bits, (at / width) >> self.block_bits);
        self.groups.get(y * self.width as usize + x).copied().unwrap_or(0).into()
    }
}

/// The pixels of a small picture, and the cache of its colours.
struct KeptPixels<'a> {
    pixels: &'a mut Vec<u32>,
    cache: Vec<u32>,
    cache_bits: u32,
}

impl KeptPixels<'_> {
    fn push(&mut self, colour: u32) {
        if self.cache_bits > 0 {
            let index = colour.wrapping_mul(0x1e35_a7bd) >> (32 - self.cache_bits);
            if let Some(place) = self.cache.get_mut(index as usize) {
                *place = colour;
            }
        }
        self.pixels.push(colour);
    }

    fn push_cached(&mut self, index: u32) {
        let colour = self.cache.get(index as usize).copied().unwrap_or(0);
        self.push(colour);
    }

    fn copy(&mut self, distance: usize, length: usize) {
        for _ in 0..length {
            let colour = self.pixels.len().checked_sub(distance).and_then(|from| self.pixels.get(from)).copied();
            self.push(colour.unwrap_or(0));
        }
    }
}
