//! Small images crafted to be costly to decode, each with its baseline: the costliest ordinary image of the same format, pixels
//! and bytes. For tests and benchmarks.
//!
//! A hostile image must be rejected, or cost at most twice its baseline.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "code of tests and benchmarks alone")]
#![expect(clippy::cast_possible_truncation, reason = "all sizes here are small constants")]

pub(crate) mod bits;
pub(crate) mod containers;
mod gif;
mod jpeg;
mod ordinary;
mod png;
mod webp;

use shared::media_api::ImageKind;

/// An image crafted to be costly.
#[derive(Debug)]
pub struct HostilePicture {
    /// Also the stem of a file name.
    pub name: &'static str,
    pub kind: ImageKind,
    pub bytes: Vec<u8>,
    /// All frames counted.
    pub pixels: usize,
    pub is_progressive: bool,
}

impl HostilePicture {
    fn new(name: &'static str, kind: ImageKind, bytes: Vec<u8>, pixels: usize) -> Self {
        Self { name, kind, bytes, pixels, is_progressive: false }
    }

    /// Returns the costliest ordinary image of the same format and at least as many pixels and bytes, but at most 10 MiB.
    pub fn ordinary(&self) -> Vec<u8> {
        match self.kind {
            ImageKind::Jpeg => ordinary::jpeg(self.pixels, self.bytes.len(), self.is_progressive),
            ImageKind::Png => ordinary::png(self.pixels, self.bytes.len()),
            ImageKind::Gif => ordinary::gif(self.pixels, self.bytes.len()),
            ImageKind::Webp => ordinary::webp(self.pixels, self.bytes.len()),
        }
    }
}

/// The generators.
pub const ALL: &[fn() -> HostilePicture] = &[
    webp::unused_groups,
    webp::wide_groups,
    webp::frames_of_groups,
    webp::dense_codes,
    webp::long_codewords,
    webp::tiny_lossless_frames,
    webp::tiny_lossy_frames,
    webp::groups_of_an_alpha_plane,
    gif::tiny_frames,
    gif::clear_codes,
    gif::short_sub_blocks,
    png::empty_deflate_blocks,
    png::tiny_frames,
    png::tiny_data_chunks,
    png::stored_blocks,
    jpeg::many_scans,
    jpeg::many_tables,
    jpeg::many_restarts,
];
