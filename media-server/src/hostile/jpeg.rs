//! JPEG (T.81) with costly scans, tables and restarts.

use shared::media_api::ImageKind;

use super::HostilePicture;
use super::containers::jpeg_segment;

/// A frame header of components of full resolution, 1 to `components`.
fn frame(marker: u8, width: u16, height: u16, components: u8) -> Vec<u8> {
    let mut data = [[8].as_slice(), &height.to_be_bytes(), &width.to_be_bytes(), &[components]].concat();
    (1..=components).for_each(|id| data.extend_from_slice(&[id, 0x11, 0]));
    jpeg_segment(marker, &[&data])
}

/// A Huffman table of the codeword `0`.
fn table(kind: u8, value: u8) -> Vec<u8> {
    [[kind, 1].as_slice(), &[0; 15], &[value]].concat()
}

fn scan(components: &[u8], band: [u8; 3], data: &[u8]) -> Vec<u8> {
    let mut header = vec![components.len() as u8];
    header.extend(components.iter().flat_map(|id| [*id, 0]));
    header.extend_from_slice(&band);
    [jpeg_segment(0xda, &[&header]).as_slice(), data].concat()
}

fn picture(segments: &[Vec<u8>]) -> Vec<u8> {
    let quantization = jpeg_segment(0xdb, &[&[0], &[1; 64]]);
    [[0xff, 0xd8].as_slice(), &quantization, &segments.concat(), &[0xff, 0xd9]].concat()
}

fn hostile(name: &'static str, picture: Vec<u8>, pixels: usize) -> HostilePicture {
    HostilePicture::new(name, ImageKind::Jpeg, picture, pixels)
}

/// 64 empty scans of 39 megapixels: 0.3 MB.
pub(super) fn many_scans() -> HostilePicture {
    const SIDE: u16 = 6240;
    const BLOCKS: usize = (SIDE as usize / 8) * (SIDE as usize / 8);
    // A DC difference of 0 is one bit, and a run of 16,384 blocks without coefficients `0` and 14 bits.
    let tables = jpeg_segment(0xc4, &[&table(0x00, 0), &table(0x10, 0xe0)]);
    let mut segments = vec![frame(0xc2, SIDE, SIDE, 3), tables];
    segments.push(scan(&[1, 2, 3], [0, 0, 0], &padded(BLOCKS * 3)));
    for index in 0..63u8 {
        let coefficient = index % 63 + 1;
        segments.push(scan(&[index % 3 + 1], [coefficient, coefficient, 0], &eob_runs(BLOCKS)));
    }
    let picture = hostile("jpeg-many-scans", picture(&segments), usize::from(SIDE) * usize::from(SIDE));
    HostilePicture { is_progressive: true, ..picture }
}

/// `count` zero bits, the last byte filled with ones.
fn padded(count: usize) -> Vec<u8> {
    let mut data = vec![0; count / 8];
    if !count.is_multiple_of(8) {
        data.push(0xff >> (count % 8));
    }
    data
}

/// Runs of 16,384 to 32,767 blocks that make `blocks`, each the codeword `0` and 14 bits.
fn eob_runs(mut blocks: usize) -> Vec<u8> {
    const LEAST: usize = 1 << 14;
    let (mut bits, mut data, mut count) = (0u64, Vec::new(), 0);
    while blocks > 0 {
        let run = if blocks < 2 * LEAST { blocks } else { LEAST.max(blocks - LEAST).min(2 * LEAST - 1) };
        blocks -= run;
        bits = bits << 15 | (run - LEAST) as u64;
        count += 15;
        while count >= 8 {
            count -= 8;
            let byte = (bits >> count) as u8;
            data.push(byte);
            if byte == 0xff {
                data.push(0);
            }
        }
    }
    if count > 0 {
        data.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
    data
}

/// 550,000 Huffman tables, each of which replaces the one before: 9.9 MB.
pub(super) fn many_tables() -> HostilePicture {
    let tables = jpeg_segment(0xc4, &[&table(0x10, 0).repeat(3_600)]).repeat(153);
    let segments =
        [frame(0xc0, 8, 8, 1), jpeg_segment(0xc4, &[&table(0x00, 0)]), tables, scan(&[1], [0, 63, 0], &padded(2))];
    hostile("jpeg-many-tables", picture(&segments), 64)
}

/// 39 megapixels with a restart after each block: 1.8 MB.
pub(super) fn many_restarts() -> HostilePicture {
    const SIDE: u16 = 6240;
    let blocks = usize::from(SIDE / 8) * usize::from(SIDE / 8);
    let mut data = Vec::new();
    for block in 0..blocks {
        data.push(0x3f);
        if block + 1 < blocks {
            data.extend_from_slice(&[0xff, 0xd0 + (block % 8) as u8]);
        }
    }
    let tables = jpeg_segment(0xc4, &[&table(0x00, 0), &table(0x10, 0)]);
    let segments = [frame(0xc0, SIDE, SIDE, 1), tables, jpeg_segment(0xdd, &[&[0, 1]]), scan(&[1], [0, 63, 0], &data)];
    hostile("jpeg-many-restarts", picture(&segments), usize::from(SIDE) * usize::from(SIDE))
}
