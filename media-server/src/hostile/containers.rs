//! Builders of segments and chunks.

/// A JPEG segment.
pub(crate) fn jpeg_segment(marker: u8, parts: &[&[u8]]) -> Vec<u8> {
    let data = parts.concat();
    [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], &data].concat()
}

/// A PNG chunk.
pub(crate) fn png_chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(&[kind, data].concat()).to_be_bytes();
    [&(data.len() as u32).to_be_bytes(), kind, data, &crc].concat()
}

/// A padded chunk of a WebP.
pub(crate) fn riff_chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
    let padding = &[0][..data.len() % 2];
    [name, &(data.len() as u32).to_le_bytes(), data, padding].concat()
}

/// A WebP of these chunks.
pub(crate) fn webp_file(chunks: &[u8]) -> Vec<u8> {
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", chunks].concat()
}

/// A zlib stream of stored blocks.
#[cfg(test)]
pub(crate) fn zlib_stored(blocks: &[&[u8]]) -> Vec<u8> {
    let mut stream = b"\x78\x01".to_vec();
    for (number, block) in (1..).zip(blocks) {
        let length = block.len() as u16;
        stream.push(u8::from(number == blocks.len()));
        stream.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        stream.extend_from_slice(block);
    }
    stream.extend(simd_adler32::adler32(&blocks.concat().as_slice()).to_be_bytes());
    stream
}
