//! Pictures that are small to send and made to be costly to decode, each next to the costliest ordinary picture of its format,
//! pixels and bytes. For tests and benchmarks.
//!
//! A hostile picture must be refused, or cost at most twice what its ordinary one does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "code of tests and benchmarks alone")]
#![expect(clippy::cast_possible_truncation, reason = "all sizes here are small constants")]

pub(crate) mod bits;
mod gif;
mod jpeg;
mod ordinary;
mod png;
mod webp;

use shared::media_api::ImageKind;

/// A picture made to be costly.
#[derive(Debug)]
pub struct HostilePicture {
    /// What makes it costly, as the stem of a file name.
    pub name: &'static str,
    /// Its format.
    pub kind: ImageKind,
    /// The file.
    pub bytes: Vec<u8>,
    /// Its pixels, all frames counted.
    pub pixels: usize,
    /// Whether it is a progressive JPEG.
    pub is_progressive: bool,
}

impl HostilePicture {
    fn new(name: &'static str, kind: ImageKind, bytes: Vec<u8>, pixels: usize) -> Self {
        Self { name, kind, bytes, pixels, is_progressive: false }
    }

    /// The costliest ordinary picture of the same format, and of as many pixels and bytes at least, but of 10 MiB at most.
    pub fn ordinary(&self) -> Vec<u8> {
        match self.kind {
            ImageKind::Jpeg => ordinary::jpeg(self.pixels, self.bytes.len(), self.is_progressive),
            ImageKind::Png => ordinary::png(self.pixels, self.bytes.len()),
            ImageKind::Gif => ordinary::gif(self.pixels, self.bytes.len()),
            ImageKind::Webp => ordinary::webp(self.pixels, self.bytes.len()),
        }
    }
}

/// Functions that make them.
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
