//! Frame header of a JPEG (T.81, B.2.2): dimensions and sampling factors.

use super::coefficients::Coefficients;
use crate::formats::ImageError;

/// A frame header, and what is decoded of its components.
pub(super) struct JpegFrame {
    pub(super) is_progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
}

pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factor: blocks in an interleaved MCU.
    pub(super) sampling: (u32, u32),
    pub(super) quantization_table: u8,
    /// The table's content when the component's first scan begins, in zigzag order.
    pub(super) quantization: [u16; 64],
    /// Blocks per row and per column in a non-interleaved scan.
    pub(super) blocks: (usize, usize),
    /// Whether a scan has decoded its DC coefficients.
    pub(super) has_dc: bool,
    /// Of a progressive frame, by block: a bit for each nonzero coefficient, in zigzag order.
    pub(super) nonzero: Vec<u64>,
    /// Only if a crop is wanted.
    pub(super) coefficients: Option<Coefficients>,
}

impl JpegFrame {
    /// Parses SOF0, SOF1 or SOF2 with 8-bit samples.
    pub(super) fn parse(marker: u8, data: &[u8]) -> Result<Self, ImageError> {
        let [8, height_high, height_low, width_high, width_low, count, components @ ..] = data else {
            return Err(ImageError::malformed("samples of other than 8 bits"));
        };
        if components.len() != 3 * usize::from(*count) || !matches!(count, 1 | 3 | 4) {
            return Err(ImageError::malformed("neither 1, 3 nor 4 components"));
        }
        let mut frame = Self {
            is_progressive: marker == 0xc2,
            width: u16::from_be_bytes([*width_high, *width_low]).into(),
            height: u16::from_be_bytes([*height_high, *height_low]).into(),
            components: Vec::new(),
        };
        for component in components.as_chunks().0 {
            frame.add(*component)?;
        }
        frame.count_blocks();
        Ok(frame)
    }

    fn add(&mut self, [id, sampling, quantization_table]: [u8; 3]) -> Result<(), ImageError> {
        let (across, down) = (u32::from(sampling >> 4), u32::from(sampling & 15));
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
            return Err(ImageError::malformed("a sampling factor outside of 1 to 4"));
        }
        if self.components.iter().any(|other| other.id == id) {
            return Err(ImageError::malformed("two components with one id"));
        }
        self.components.push(Component {
            id,
            sampling: (across, down),
            quantization_table,
            quantization: [0; 64],
            blocks: (0, 0),
            has_dc: false,
            nonzero: Vec::new(),
            coefficients: None,
        });
        Ok(())
    }

    fn count_blocks(&mut self) {
        let (width, height, (across_max, down_max)) = (self.width, self.height, self.sampling_max());
        for component in &mut self.components {
            let (across, down) = component.sampling;
            let count =
                |pixels: u32, factor: u32, max: u32| (pixels * factor).div_ceil(max).div_ceil(BLOCK_PIXELS) as usize;
            component.blocks = (count(width, across, across_max), count(height, down, down_max));
        }
    }

    /// Returns the largest sampling factors: those of full resolution.
    pub(super) fn sampling_max(&self) -> (u32, u32) {
        let maxima = |(across, down): (u32, u32), component: &Component| {
            (across.max(component.sampling.0), down.max(component.sampling.1))
        };
        self.components.iter().fold((1, 1), maxima)
    }

    /// Returns the MCUs per row and per column of an interleaved scan.
    pub(super) fn mcus(&self) -> (usize, usize) {
        let (across, down) = self.sampling_max();
        let count = |pixels: u32, max: u32| pixels.div_ceil(max * BLOCK_PIXELS) as usize;
        (count(self.width, across), count(self.height, down))
    }

    /// Returns the memory of decoding without coefficients, in bytes: the bitmaps of nonzero coefficients.
    pub(super) fn memory_bytes(&self) -> u64 {
        if !self.is_progressive {
            return 0;
        }
        self.blocks() * size_of::<u64>() as u64
    }

    /// Returns the blocks of all components.
    pub(super) fn blocks(&self) -> u64 {
        self.components.iter().map(Component::count).sum()
    }

    /// Allocates [`Self::memory_bytes`]. To be called after the dimensions are checked.
    pub(super) fn allocate(&mut self) {
        if self.is_progressive {
            for component in &mut self.components {
                component.nonzero = vec![0; component.blocks.0 * component.blocks.1];
            }
        }
    }
}

impl Component {
    /// Returns the number of blocks.
    pub(super) fn count(&self) -> u64 {
        self.blocks.0 as u64 * self.blocks.1 as u64
    }
}

/// Side of a block, in samples.
pub(super) const BLOCK_PIXELS: u32 = 8;
