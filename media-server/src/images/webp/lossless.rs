//! Lossless WebP (RFC 9649, section 3), decoded to its symbols and not on to pixels, which could be made of any.

use super::bits::Bits;
use super::codes::{CodeGroup, CodeReader, LITERALS_AND_LENGTHS};
use super::distances::distance;
use super::footprint::CodeCosts;
use crate::images::Refusal;
use crate::images::work::Work;

/// The most memory that the codes of a picture may take, in bytes: libwebp writes some 2,600 groups at most, of 2 kB each.
const CODES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Steps of a literal, which has four symbols, or of a copy.
const PIXEL_STEPS: u64 = 4;

/// The most groups of codes: their number has 16 bits.
const GROUPS_MAX: usize = 1 << 16;

/// What decoding takes, in bytes.
pub(super) fn memory_bytes(data: &[u8], pixels: u64) -> u64 {
    // A code of 0.6 kB takes some bytes of the file at least.
    let codes = data.len().saturating_mul(256).min(CODES_BYTES_MAX) as u64;
    let group_numbers = (GROUPS_MAX * size_of::<Option<u16>>()) as u64;
    // Of each block of 4 × 4 pixels its group of codes, as a pixel and as a number.
    codes + group_numbers + pixels / 16 * 6
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

/// A lossless bitstream and the picture's size.
#[derive(Clone, Copy)]
pub(super) struct Bitstream<'a> {
    bits: Bits<'a>,
    width: u32,
    height: u32,
}

impl<'a> Bitstream<'a> {
    /// A whole picture, with its header.
    pub(super) fn of_picture(data: &'a [u8]) -> Result<Self, Refusal> {
        const HEADER_BITS: u32 = 40;
        let (width, height) = dimensions(data)?;
        let mut bits = Bits::new(data);
        bits.skip(HEADER_BITS)?;
        Ok(Self { bits, width, height })
    }

    /// An alpha plane, which has the picture's dimensions and no header (section 2.7.1.2).
    pub(super) fn of_alpha(data: &'a [u8], width: u32, height: u32) -> Self {
        Self { bits: Bits::new(data), width, height }
    }

    /// Decodes all of it; returns how many bits are left.
    pub(super) fn decode(self, work: &mut Work) -> Result<usize, Refusal> {
        let (mut decoder, width) = self.transforms(work)?;
        decoder.image(width, self.height)?;
        Ok(decoder.bits.left())
    }

    /// Reads the codes and no pixels: what they cost the decoder of renditions.
    pub(super) fn code_costs(self, work: &mut Work) -> Result<CodeCosts, Refusal> {
        let (mut decoder, width) = self.transforms(work)?;
        let cache_bits = decoder.cache_bits()?;
        let mut group_image = decoder.group_image(width, self.height)?;
        decoder.groups(&mut group_image, cache_bits, false)?;
        Ok(decoder.codes.costs)
    }

    /// Passes over the transforms; the width of the image that is left.
    fn transforms(self, work: &mut Work) -> Result<(Decoder<'a, '_>, u32), Refusal> {
        let mut decoder = Decoder { bits: self.bits, codes: CodeReader::default(), codes_bytes: 0, work };
        let (mut width, mut seen) = (self.width, 0u8);
        while decoder.bits.read(1)? == 1 {
            let transform = decoder.bits.read(2)?;
            if seen >> transform & 1 == 1 {
                return Err(Refusal::Broken("a transform is there twice".to_owned()));
            }
            seen |= 1 << transform;
            width = decoder.transform(transform, width, self.height)?;
        }
        Ok((decoder, width))
    }
}

struct Decoder<'a, 'w> {
    bits: Bits<'a>,
    codes: CodeReader,
    codes_bytes: usize,
    work: &'w mut Work,
}

impl Decoder<'_, '_> {
    /// Passes over a transform (section 4); the width that is left.
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

    /// The picture itself: the entropy image, the groups of codes, the pixels.
    fn image(&mut self, width: u32, height: u32) -> Result<(), Refusal> {
        let cache_bits = self.cache_bits()?;
        let mut group_image = self.group_image(width, height)?;
        let groups = self.groups(&mut group_image, cache_bits, true)?;
        self.pixels((width, height), &groups, &group_image, None)
    }

    /// Reads the entropy image (section 5.2.2): the group of each block.
    fn group_image(&mut self, width: u32, height: u32) -> Result<GroupImage, Refusal> {
        if self.bits.read(1)? == 0 {
            return Ok(GroupImage::of_one());
        }
        let block_bits = self.bits.read(3)? + 2;
        let block = 1 << block_bits;
        let (width, height) = (width.div_ceil(block), height.div_ceil(block));
        let mut pixels = Vec::with_capacity(width as usize * height as usize);
        self.sub_image(width, height, Some(&mut pixels))?;
        // Red and green.
        let group = |pixel: u32| u16::try_from(pixel >> 8 & 0xffff).unwrap_or_default();
        Ok(GroupImage { groups: pixels.into_iter().map(group).collect(), block_bits, width })
    }

    /// Reads the groups of codes. Those that no block uses are checked and not built, and `group_image` then counts the
    /// others alone.
    fn groups(
        &mut self,
        group_image: &mut GroupImage,
        cache_bits: u32,
        builds: bool,
    ) -> Result<Vec<CodeGroup>, Refusal> {
        let cached = if cache_bits == 0 { 0 } else { 1 << cache_bits };
        let mut groups = Vec::new();
        let mut numbers = group_image.used();
        for number in &mut numbers {
            let is_used = number.is_some() && builds;
            let group = self.codes.group(&mut self.bits, cached, is_used, self.work)?;
            if is_used {
                *number = u16::try_from(groups.len()).ok();
                self.codes_bytes += group.memory_bytes();
                groups.push(group);
            }
            if self.codes_bytes > CODES_BYTES_MAX {
                return Err(Refusal::Broken(format!("codes of more than {CODES_BYTES_MAX} bytes")));
            }
        }
        group_image.renumber(&numbers);
        Ok(groups)
    }

    /// A small picture that the large one refers to; its pixels go to `pixels`, as alpha, red, green and blue.
    fn sub_image(&mut self, width: u32, height: u32, pixels: Option<&mut Vec<u32>>) -> Result<(), Refusal> {
        let cache_bits = self.cache_bits()?;
        let mut group_image = GroupImage::of_one();
        let groups = self.groups(&mut group_image, cache_bits, true)?;
        let kept = pixels.map(|pixels| KeptPixels { pixels, cache: vec![0; 1 << cache_bits], cache_bits });
        self.pixels((width, height), &groups, &group_image, kept)
    }

    /// The colour cache's bits (section 5.2.3); 0 for none.
    fn cache_bits(&mut self) -> Result<u32, Refusal> {
        if self.bits.read(1)? == 0 {
            return Ok(0);
        }
        match self.bits.read(4)? {
            bits @ 1..=11 => Ok(bits),
            _ => Err(Refusal::Broken("a colour cache of a size that can not be".to_owned())),
        }
    }

    /// Section 5.2: literals, copies, and colours of the cache, until there are enough.
    fn pixels(
        &mut self,
        (width, height): (u32, u32),
        groups: &[CodeGroup],
        group_image: &GroupImage,
        mut kept: Option<KeptPixels<'_>>,
    ) -> Result<(), Refusal> {
        let (width, total) = (width as usize, width as usize * height as usize);
        let (mut at, mut block_end) = (0, 0);
        let mut group = None;
        while at < total {
            if at >= block_end {
                let (number, pixels) = group_image.block_at(at, width);
                (group, block_end) = (groups.get(number), at + pixels);
            }
            let codes = group.ok_or(Refusal::Truncated)?;
            self.work.spend(PIXEL_STEPS)?;
            at += match codes.green.read(&mut self.bits)? {
                green @ ..256 => {
                    let colour = codes.read_colour(&mut self.bits, green.into())?;
                    if let Some(kept) = &mut kept {
                        kept.push(colour);
                    }
                    1
                }
                prefix @ 256..LITERALS_AND_LENGTHS => {
                    let length = self.bits.read_prefixed(u32::from(prefix) - 256)? as usize;
                    let distance_prefix = codes.distance.read(&mut self.bits)?;
                    let distance = distance(self.bits.read_prefixed(distance_prefix.into())?, width);
                    if distance > at || length > total - at {
                        return Err(Refusal::Broken("a copy from or to outside of the picture".to_owned()));
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

/// Which group of codes is used in which block of the picture (section 5.2.2).
struct GroupImage {
    /// Empty where there is but one.
    groups: Vec<u16>,
    block_bits: u32,
    /// In blocks.
    width: u32,
}

impl GroupImage {
    fn of_one() -> Self {
        Self { groups: Vec::new(), block_bits: 0, width: 1 }
    }

    /// For each group up to the last one that is used its number, or `None` where no block uses it.
    fn used(&self) -> Vec<Option<u16>> {
        let count = self.groups.iter().max().map_or(1, |last| usize::from(*last) + 1);
        let mut numbers = vec![None; count];
        // Of an empty one the only group.
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

    /// The group of the block that pixel `at` is in, and how many pixels of its row are left in the block.
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

    fn push_cached(&mut self, index: u16) {
        let colour = self.cache.get(usize::from(index)).copied().unwrap_or(0);
        self.push(colour);
    }

    fn copy(&mut self, distance: usize, length: usize) {
        for _ in 0..length {
            let colour = self.pixels.len().checked_sub(distance).and_then(|from| self.pixels.get(from)).copied();
            self.push(colour.unwrap_or(0));
        }
    }
}
