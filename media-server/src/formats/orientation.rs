//! EXIF orientation, the only EXIF tag that is kept.

use super::visits;

const UPRIGHT: u8 = 1;

/// Precedes the TIFF structure in a JPEG, and is optional elsewhere.
pub(super) const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// Reads the orientation (CIPA DC-008, tag 0x0112), 2 to 8; `None` if it is upright, absent or invalid.
pub(crate) fn read(exif: &[u8]) -> Option<u8> {
    const ENTRY_BYTES: usize = 12;
    let tiff = Tiff::new(exif.strip_prefix(EXIF_PREFIX).unwrap_or(exif))?;
    let directory = usize::try_from(tiff.u32(4)?).ok()?;
    let entries = usize::from(tiff.u16(directory)?);
    let first = directory.checked_add(2)?;
    // Stops at the end of the data: a few bytes may claim 65,535 entries.
    let tags =
        (0..entries).map(|number| first + number * ENTRY_BYTES).map_while(|entry| Some((entry, tiff.u16(entry)?)));
    let (entry, _) = tags.inspect(|_| visits::add(ENTRY_BYTES)).find(|(_, tag)| *tag == 0x0112)?;
    let is_one_short = tiff.u16(entry + 2)? == 3 && tiff.u32(entry + 4)? == 1;
    let orientation = u8::try_from(tiff.u16(entry + 8)?).ok()?;
    (is_one_short && (UPRIGHT + 1..=8).contains(&orientation)).then_some(orientation)
}

/// Returns a minimal TIFF structure with this orientation.
pub(super) fn write(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.push(orientation);
    // The rest of the value, and no next IFD.
    tiff.extend_from_slice(&[0; 6]);
    tiff
}

/// Reads numbers of a TIFF structure in its byte order.
struct Tiff<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_big_endian = match bytes {
            [b'M', b'M', 0, 0x2a, ..] => true,
            [b'I', b'I', 0x2a, 0, ..] => false,
            _ => return None,
        };
        Some(Self { bytes, is_big_endian })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_orientation_is_read_back() {
        for orientation in 2..=8 {
            assert_eq!(read(&write(orientation)), Some(orientation));
            assert_eq!(read(&[EXIF_PREFIX, &write(orientation)].concat()), Some(orientation));
        }
    }

    #[test]
    fn both_byte_orders_are_read_and_other_tags_skipped() {
        let little =
            b"II\x2a\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x01\0\0\0x\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        assert_eq!(read(little), Some(6));
    }

    #[test]
    fn upright_and_invalid_orientation_is_none() {
        for orientation in [0, 1, 9, 255] {
            assert_eq!(read(&write(orientation)), None);
        }
        let whole = write(6);
        for length in 0..20 {
            assert_eq!(read(&whole[..length]), None, "cut to {length}");
        }
        assert_eq!(read(b"MM\0\x2a\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(read(b"MM\0\x2a\0\0\0\x04\xff\xff"), None);
    }
}
