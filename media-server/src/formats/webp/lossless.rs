//! Lossless WebP (RFC 9649, section 3), decoded to symbols: the inverse transforms accept any pixels.
//!
//! image-webp would decide the same, but builds every prefix code group, used or not (see [`super::footprint`]). This decoder
//! bounds their memory.

use super::code_costs::CodeCosts;
use super::distances::distance;
use super::prefix_codes::{LITERALS_AND_LENGTHS, PrefixCodeGroup, PrefixCodeReader};
use crate::formats::ImageError;
use crate::formats::bit_reader::BitReader;
use crate::formats::work::Work;

/// The most memory of the prefix codes of an image, in bytes. libwebp writes at most about 2,600 groups of 2 kB each.
const CODES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Steps of a literal of four symbols, or of a backward reference.
const PIXEL_STEPS: u64 = 4;

/// The most prefix code groups: a meta prefix code has 16 bits.
const GROUPS_MAX: usize = 1 << 16;

/// Returns the memory of decoding, in bytes.
pub(super) fn memory_bytes(data: &[u8], pixels: u64) -> u64 {
    // A code of 0.6 kB has at least a few bytes in the file.
    let codes = data.len().saturating_mul(256).min(CODES_BYTES_MAX) as u64;
    let group_numbers = (GROUPS_MAX * size_of::<Option<u16>>()) as u64;
    // The entropy image of 4 × 4 blocks, as pixels and as group numbers.
    codes + group_numbers + pixels / 16 * 6
}

/// Returns width and height of the header (section 3.4).
pub(super) fn dimensions(data: &[u8]) -> Result<(u32, u32), ImageError> {
    let mut bits = BitReader::new(data);
    if bits.read(8)? != 0x2f {
        return Err(ImageError::malformed("VP8L without its signature"));
    }
    let dimensions = (bits.read(14)? + 1, bits.read(14)? + 1);
    bits.read(1)?;
    if bits.read(3)? != 0 { Err(ImageError::malformed("VP8L of an unknown version")) } else { Ok(dimensions) }
}

/// A lossless bitstream, and the dimensions of its image.
pub(super) struct Vp8lStream<'a> {
    bits: BitReader<'a>,
    width: u32,
    height: u32,
}

impl<'a> Vp8lStream<'a> {
    /// Of a VP8L chunk, with its header.
    pub(super) fn of_image(data: &'a [u8]) -> Result<Self, ImageError> {
        const HEADER_BITS: u32 = 40;
        let (width, height) = dimensions(data)?;
        let mut bits = BitReader::new(data);
        bits.skip(HEADER_BITS)?;
        Ok(Self { bits, width, height })
    }

    /// Of an alpha plane, which has no header (section 2.7.1.2).
    pub(super) fn of_alpha(data: &'a [u8], width: u32, height: u32) -> Self {
        Self { bits: BitReader::new(data), width, height }
    }

    /// Decodes the image; returns the number of unread bits.
    pub(super) fn decode(self, work: &mut Work) -> Result<usize, ImageError> {
        let height = self.height;
        let (mut decoder, width) = self.transforms(work)?;
        decoder.image(width, height)?;
        Ok(decoder.bits.left())
    }

    /// Reads the prefix codes only; returns their costs for image-webp.
    pub(super) fn code_costs(self, work: &mut Work) -> Result<CodeCosts, ImageError> {
        let height = self.height;
        let (mut decoder, width) = self.transforms(work)?;
        let cache_bits = decoder.cache_bits()?;
        let mut entropy_image = decoder.entropy_image(width, height)?;
        decoder.groups(&mut entropy_image, cache_bits, false)?;
        Ok(decoder.codes.costs)
    }

    /// Skips the transforms; returns the width of the transformed image.
    fn transforms(self, work: &mut Work) -> Result<(Vp8lDecoder<'a, '_>, u32), ImageError> {
        let mut decoder = Vp8lDecoder { bits: self.bits, codes: PrefixCodeReader::default(), codes_bytes: 0, work };
        let (mut width, mut seen) = (self.width, 0u8);
        while decoder.bits.read(1)? == 1 {
            let transform = decoder.bits.read(2)?;
            if seen >> transform & 1 == 1 {
                return Err(ImageError::malformed("a duplicate transform"));
            }
            seen |= 1 << transform;
            width = decoder.transform(transform, width, self.height)?;
        }
        Ok((decoder, width))
    }
}

struct Vp8lDecoder<'a, 'w> {
    bits: BitReader<'a>,
    codes: PrefixCodeReader,
    codes_bytes: usize,
    work: &'w mut Work,
}

impl Vp8lDecoder<'_, '_> {
    /// Skips a transform (section 4); returns the width after it.
    fn transform(&mut self, transform: u32, width: u32, height: u32) -> Result<u32, ImageError> {
        match transform {
            // Predictor or color transform, by block.
            0 | 1 => {
                let block = 1 << (self.bits.read(3)? + 2);
                self.sub_image(width.div_ceil(block), height.div_ceil(block), None)?;
                Ok(width)
            }
            // Subtract green.
            2 => Ok(width),
            // Color indexing; small palettes bundle pixels.
            _ => {
                let colors = self.bits.read(8)? + 1;
                self.sub_image(colors, 1, None)?;
                Ok(match colors {
                    1..=2 => width.div_ceil(8),
                    3..=4 => width.div_ceil(4),
                    5..=16 => width.div_ceil(2),
                    _ => width,
                })
            }
        }
    }

    /// Decodes the main image.
    fn image(&mut self, width: u32, height: u32) -> Result<(), ImageError> {
        let cache_bits = self.cache_bits()?;
        let mut entropy_image = self.entropy_image(width, height)?;
        let groups = self.groups(&mut entropy_image, cache_bits, true)?;
        self.pixels((width, height), &groups, &entropy_image, None)
    }

    /// Reads the entropy image (section 6.2.2).
    fn entropy_image(&mut self, width: u32, height: u32) -> Result<EntropyImage, ImageError> {
        if self.bits.read(1)? == 0 {
            return Ok(EntropyImage::of_one());
        }
        let block_bits = self.bits.read(3)? + 2;
        let block = 1 << block_bits;
        let (width, height) = (width.div_ceil(block), height.div_ceil(block));
        let mut pixels = Vec::with_capacity(width as usize * height as usize);
        self.sub_image(width, height, Some(&mut pixels))?;
        // The red and green components.
        let group = |pixel: u32| u16::try_from(pixel >> 8 & 0xffff).unwrap_or_default();
        Ok(EntropyImage { groups: pixels.into_iter().map(group).collect(), block_bits, width })
    }

    /// Reads the prefix code groups. Unused ones are checked but not built; renumbers the others in `entropy_image`.
    fn groups(
        &mut self,
        entropy_image: &mut EntropyImage,
        cache_bits: u32,
        builds: bool,
    ) -> Result<Vec<PrefixCodeGroup>, ImageError> {
        let cached = if cache_bits == 0 { 0 } else { 1 << cache_bits };
        let mut groups = Vec::new();
        let mut numbers = entropy_image.used();
        for number in &mut numbers {
            let is_used = number.is_some() && builds;
            let group = self.codes.group(&mut self.bits, cached, is_used, self.work)?;
            if is_used {
                *number = u16::try_from(groups.len()).ok();
                self.codes_bytes += group.memory_bytes();
                groups.push(group);
            }
            if self.codes_bytes > CODES_BYTES_MAX {
                return Err(ImageError::malformed(format!("prefix codes of more than {CODES_BYTES_MAX} bytes")));
            }
        }
        entropy_image.renumber(&numbers);
        Ok(groups)
    }

    /// Decodes a transform's or entropy image, its ARGB pixels into `pixels`.
    fn sub_image(&mut self, width: u32, height: u32, pixels: Option<&mut Vec<u32>>) -> Result<(), ImageError> {
        let cache_bits = self.cache_bits()?;
        let mut entropy_image = EntropyImage::of_one();
        let groups = self.groups(&mut entropy_image, cache_bits, true)?;
        let kept = pixels.map(|pixels| KeptPixels { pixels, cache: vec![0; 1 << cache_bits], cache_bits });
        self.pixels((width, height), &groups, &entropy_image, kept)
    }

    /// Reads the color cache bits (section 5.2.3); 0 for none.
    fn cache_bits(&mut self) -> Result<u32, ImageError> {
        if self.bits.read(1)? == 0 {
            return Ok(0);
        }
        match self.bits.read(4)? {
            bits @ 1..=11 => Ok(bits),
            _ => Err(ImageError::malformed("an invalid color cache size")),
        }
    }

    /// Decodes pixels (section 5.2): literals, backward references, color cache indices.
    fn pixels(
        &mut self,
        (width, height): (u32, u32),
        groups: &[PrefixCodeGroup],
        entropy_image: &EntropyImage,
        mut kept: Option<KeptPixels<'_>>,
    ) -> Result<(), ImageError> {
        let (width, total) = (width as usize, width as usize * height as usize);
        let (mut at, mut block_end) = (0, 0);
        let mut group = None;
        while at < total {
            if at >= block_end {
                let (number, pixels) = entropy_image.block_at(at, width);
                (group, block_end) = (groups.get(number), at + pixels);
            }
            let codes = group.ok_or(ImageError::Truncated)?;
            self.work.spend(PIXEL_STEPS)?;
            at += match codes.green.read(&mut self.bits)? {
                green @ ..256 => {
                    let color = codes.read_argb(&mut self.bits, green.into())?;
                    if let Some(kept) = &mut kept {
                        kept.push(color);
                    }
                    1
                }
                prefix @ 256..LITERALS_AND_LENGTHS => {
                    let length = read_lz77_value(&mut self.bits, u32::from(prefix) - 256)? as usize;
                    let distance_prefix = codes.distance.read(&mut self.bits)?;
                    let distance = distance(read_lz77_value(&mut self.bits, distance_prefix.into())?, width);
                    if distance > at || length > total - at {
                        return Err(ImageError::malformed("a backward reference outside of the image"));
                    }
                    if let Some(kept) = &mut kept {
                        kept.copy(distance, length);
                    }
                    length
                }
                cached => {
                    if let Some(kept) = &mut kept {
                        kept.push_cached(cached - LITERALS_AND_LENGTHS);
                    }
                    1
                }
            };
        }
        Ok(())
    }
}

/// Reads the length or distance code of a prefix (section 5.2.2), from 1 up.
fn read_lz77_value(bits: &mut BitReader<'_>, prefix: u32) -> Result<u32, ImageError> {
    if prefix < 4 {
        return Ok(prefix + 1);
    }
    let extra = (prefix - 2) >> 1;
    let offset = (2 + (prefix & 1)) << extra;
    Ok(offset + bits.read(extra)? + 1)
}

/// The entropy image: the prefix code group of each block (section 6.2.2).
struct EntropyImage {
    /// Empty for a single group.
    groups: Vec<u16>,
    block_bits: u32,
    /// In blocks.
    width: u32,
}

impl EntropyImage {
    fn of_one() -> Self {
        Self { groups: Vec::new(), block_bits: 0, width: 1 }
    }

    /// Returns, for each group up to the last used one, its number, or `None` if no block uses it.
    fn used(&self) -> Vec<Option<u16>> {
        let count = self.groups.iter().max().map_or(1, |last| usize::from(*last) + 1);
        let mut numbers = vec![None; count];
        // Without an entropy image group 0 is used.
        for group in self.groups.iter().chain([0].iter().filter(|_| self.groups.is_empty())) {
            if let Some(number) = numbers.get_mut(usize::from(*group)) {
                *number = Some(*group);
            }
        }
        numbers
    }

    fn renumber(&mut self, numbers: &[Option<u16>]) {
        for group in &mut self.groups {
            *group = numbers.get(usize::from(*group)).copied().flatten().unwrap_or_default();
        }
    }

    /// Returns the group of pixel `at`, and the number of pixels left in its block's row.
    #[inline]
    fn block_at(&self, at: usize, width: usize) -> (usize, usize) {
        if self.groups.is_empty() {
            return (0, usize::MAX - at);
        }
        let (x, y, block) = (at % width, at / width, 1 << self.block_bits);
        let number = self.groups.get((y >> self.block_bits) * self.width as usize + (x >> self.block_bits));
        (number.copied().unwrap_or_default().into(), (block - x % block).min(width - x))
    }
}

/// The pixels of a sub-image, and its color cache.
struct KeptPixels<'a> {
    pixels: &'a mut Vec<u32>,
    cache: Vec<u32>,
    cache_bits: u32,
}

impl KeptPixels<'_> {
    fn push(&mut self, color: u32) {
        if self.cache_bits > 0 {
            let index = color.wrapping_mul(0x1e35_a7bd) >> (32 - self.cache_bits);
            if let Some(entry) = self.cache.get_mut(index as usize) {
                *entry = color;
            }
        }
        self.pixels.push(color);
    }

    fn push_cached(&mut self, index: u16) {
        let color = self.cache.get(usize::from(index)).copied().unwrap_or(0);
        self.push(color);
    }

    fn copy(&mut self, distance: usize, length: usize) {
        for _ in 0..length {
            let color = self.pixels.len().checked_sub(distance).and_then(|from| self.pixels.get(from)).copied();
            self.push(color.unwrap_or(0));
        }
    }
}
