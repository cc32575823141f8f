//! The frame header of a JPEG (T.81, B.2.2): its size, and how its components are sampled.

use super::coefficients::Coefficients;
use crate::images::Refusal;

/// A frame header and, of a progressive one, what is decoded yet.
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
}

/// One plane of the picture.
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks across and down in an MCU of several components.
    pub(super) sampling: (u32, u32),
    pub(super) quantization_table: u8,
    /// That table, in zigzag order, as it is when the first scan begins.
    pub(super) quantization: [u16; 64],
    /// Blocks across and down in a scan of its own.
    pub(super) blocks: (usize, usize),
    /// Whether a scan has had its DC coefficients.
    pub(super) is_begun: bool,
    /// Of each block of a progressive picture which of the 64 coefficients, in zigzag order, are not 0.
    pub(super) nonzero: Vec<u64>,
    /// Those that pixels are to be made of, if any.
    pub(super) coefficients: Option<Coefficients>,
}

impl Frame {
    /// Reads it from the data of SOF0, SOF1 or SOF2: Huffman codes and 8 bits.
    pub(super) fn parse(marker: u8, data: &[u8]) -> Result<Self, Refusal> {
        let [8, height_high, height_low, width_high, width_low, count, components @ ..] = data else {
            return Err(Refusal::broken("its samples are not of 8 bits"));
        };
        if components.len() != 3 * usize::from(*count) || !matches!(count, 1 | 3 | 4) {
            return Err(Refusal::broken("it has neither 1, 3 nor 4 components"));
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

    fn add(&mut self, [id, sampling, quantization_table]: [u8; 3]) -> Result<(), Refusal> {
        let (across, down) = (u32::from(sampling >> 4), u32::from(sampling & 15));
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
            return Err(Refusal::broken("a sampling factor is not between 1 and 4"));
        }
        if self.components.iter().any(|other| other.id == id) {
            return Err(Refusal::broken("two components have one id"));
        }
        self.components.push(Component {
            id,
            sampling: (across, down),
            quantization_table,
            quantization: [0; 64],
            blocks: (0, 0),
            is_begun: false,
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

    /// The most samples across and down: a pixel each.
    pub(super) fn sampling_max(&self) -> (u32, u32) {
        let maxima = |(across, down): (u32, u32), component: &Component| {
            (across.max(component.sampling.0), down.max(component.sampling.1))
        };
        self.components.iter().fold((1, 1), maxima)
    }

    /// How many MCUs a scan of several components has, across and down.
    pub(super) fn mcus(&self) -> (usize, usize) {
        let (across, down) = self.sampling_max();
        let count = |pixels: u32, max: u32| pixels.div_ceil(max * BLOCK_PIXELS) as usize;
        (count(self.width, across), count(self.height, down))
    }

    /// What decoding it keeps, in bytes, beside coefficients: of a progressive one which of them are not 0.
    pub(super) fn memory_bytes(&self) -> u64 {
        if !self.is_progressive {
            return 0;
        }
        self.blocks() * size_of::<u64>() as u64
    }

    /// The blocks of all components.
    pub(super) fn blocks(&self) -> u64 {
        self.components.iter().map(Component::count).sum()
    }

    /// Makes room for what is decoded; its size is to be known to be acceptable.
    pub(super) fn allocate(&mut self) {
        if self.is_progressive {
            for component in &mut self.components {
                component.nonzero = vec![0; component.blocks.0 * component.blocks.1];
            }
        }
    }
}

impl Component {
    /// Its blocks.
    pub(super) fn count(&self) -> u64 {
        self.blocks.0 as u64 * self.blocks.1 as u64
    }
}

/// A block's side.
pub(super) const BLOCK_PIXELS: u32 = 8;
