//! ICC profiles (ICC.1:2022) reduced to what a color transform reads.
//!
//! Kept: the color space, the rendering intent, and color tags. Dropped: other tags (device, serial number, calibration, text),
//! bytes outside of tags and after the end of a tag's type, and the header's date, device, creator and id. The description and
//! copyright that the standard requires are written empty.

use std::ops::Range;

use moxcms::ColorProfile;

use super::visits;

/// The largest decompressed profile, in bytes. The largest in use, of printers, have about 2 MB.
pub const PROFILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most tags of a valid profile. Profiles in use have up to about 50.
const TAGS_MAX: usize = 128;

const HEADER_BYTES: usize = 128;
const TAG_ENTRY_BYTES: usize = 12;

/// Returns the allowed types of a color tag (ICC.1:2022, 9.2); none for other tags.
fn color_types(signature: [u8; 4]) -> &'static [&'static [u8; 4]] {
    match &signature {
        b"rXYZ" | b"gXYZ" | b"bXYZ" | b"wtpt" | b"bkpt" => &[b"XYZ "],
        b"rTRC" | b"gTRC" | b"bTRC" | b"kTRC" => &[b"curv", b"para"],
        b"chad" => &[b"sf32"],
        b"cicp" => &[b"cicp"],
        b"A2B0" | b"A2B1" | b"A2B2" | b"B2A0" | b"B2A1" | b"B2A2" => &[b"mft1", b"mft2", b"mAB ", b"mBA "],
        _ => &[],
    }
}

/// Color model of the pixels, without alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelSpace {
    Gray,
    Rgb,
    Cmyk,
}

impl PixelSpace {
    /// Whether a profile of this color space applies. An RGB profile also applies to gray samples, as three equal ones.
    fn accepts(self, space: &[u8]) -> bool {
        match self {
            Self::Gray => space == b"GRAY" || space == b"RGB ",
            Self::Rgb => space == b"RGB ",
            Self::Cmyk => space == b"CMYK",
        }
    }
}

/// Reduces a profile. Returns `None` for an invalid one and for one of another color space, which browsers ignore. Idempotent.
pub(crate) fn reduced(profile: &[u8], pixels: PixelSpace) -> Option<Vec<u8>> {
    let size = usize::try_from(u32_at(profile, 0)?).ok()?;
    let profile = profile.get(..size)?;
    visits::add(size);
    let is_icc = profile.get(36..40)? == b"acsp" && pixels.accepts(profile.get(16..20)?);
    let count = usize::try_from(u32_at(profile, HEADER_BYTES)?).ok().filter(|count| is_icc && *count <= TAGS_MAX)?;
    let table = profile.get(HEADER_BYTES + 4..)?.get(..count * TAG_ENTRY_BYTES)?;
    let mut tags = Tags::default();
    for entry in table.as_chunks::<TAG_ENTRY_BYTES>().0 {
        let (signature, place) = entry.split_first_chunk::<4>()?;
        if !color_types(*signature).is_empty() {
            tags.add(profile, *signature, [u32_at(place, 0)?, u32_at(place, 4)?])?;
        }
    }
    tags.add_texts(*profile.get(8)?);
    let reduced = tags.profile(profile)?;
    ColorProfile::new_from_slice(&reduced).is_ok().then_some(reduced)
}

#[derive(Default)]
struct Tags {
    /// Signature, and range in `data`.
    entries: Vec<([u8; 4], Range<usize>)>,
    data: Vec<u8>,
    /// Offset and length in the input of copied data: several tags may share it.
    copied: Vec<([u32; 2], Range<usize>)>,
}

impl Tags {
    /// Copies a tag, unless its signature exists. Fails if it is outside of `profile` or of a wrong type.
    fn add(&mut self, profile: &[u8], signature: [u8; 4], place: [u32; 2]) -> Option<()> {
        if self.entries.iter().any(|(other, _)| *other == signature) {
            return Some(());
        }
        if let Some((_, range)) = self.copied.iter().find(|(other, _)| *other == place) {
            self.entries.push((signature, range.clone()));
            return Some(());
        }
        let [offset, length] = place.map(usize::try_from);
        let data = profile.get(offset.ok()?..)?.get(..length.ok()?)?;
        if !color_types(signature).contains(&data.first_chunk()?) {
            return None;
        }
        let range = self.append(&tag_data(data)?);
        // Overlapping tags could make the profile grow.
        if self.data.len() > profile.len() {
            return None;
        }
        self.copied.push((place, range.clone()));
        self.entries.push((signature, range));
        Some(())
    }

    /// Adds an empty description and copyright, in the format of this major version.
    fn add_texts(&mut self, version: u8) {
        let description = if version < 4 {
            // ASCII of the terminator alone, no Unicode, no ScriptCode.
            self.append(&[&b"desc\0\0\0\0\0\0\0\x01\0"[..], &[0; 4 + 4 + 2 + 1 + 67]].concat())
        } else {
            // One record of 12 bytes and no characters.
            self.append(b"mluc\0\0\0\0\0\0\0\x01\0\0\0\x0cenUS\0\0\0\0\0\0\0\x1c")
        };
        let copyright = if version < 4 { self.append(b"text\0\0\0\0\0") } else { description.clone() };
        self.entries.push((*b"desc", description));
        self.entries.push((*b"cprt", copyright));
    }

    fn append(&mut self, data: &[u8]) -> Range<usize> {
        let start = self.data.len();
        self.data.extend_from_slice(data);
        let range = start..self.data.len();
        self.data.resize(range.end.next_multiple_of(4), 0);
        range
    }

    /// Assembles the profile, with the color fields of the old header.
    fn profile(&self, old: &[u8]) -> Option<Vec<u8>> {
        let data_start = HEADER_BYTES + 4 + self.entries.len() * TAG_ENTRY_BYTES;
        let mut new = vec![0; HEADER_BYTES];
        new.get_mut(..4)?.copy_from_slice(&u32_bytes(data_start + self.data.len())?);
        // Version, class, color space, PCS; the signature; the rendering intent and the illuminant.
        for kept in [8..24, 36..40, 64..80] {
            new.get_mut(kept.clone())?.copy_from_slice(old.get(kept)?);
        }
        new.extend_from_slice(&u32_bytes(self.entries.len())?);
        for (signature, range) in &self.entries {
            new.extend_from_slice(signature);
            new.extend_from_slice(&u32_bytes(data_start + range.start)?);
            new.extend_from_slice(&u32_bytes(range.len())?);
        }
        new.extend_from_slice(&self.data);
        Some(new)
    }
}

/// Returns a tag's data without bytes that its type does not use (ICC.1:2022, 10; ICC.1:2001, 6.5). Fails if truncated.
fn tag_data(data: &[u8]) -> Option<Vec<u8>> {
    let mut used = match data.first_chunk()? {
        b"mAB " | b"mBA " => only(&lut_ranges(data)?, data)?,
        _ => data.get(..type_bytes(data)?)?.to_vec(),
    };
    used.get_mut(4..8)?.fill(0);
    Some(used)
}

/// Copies `ranges` of `data`, with zeros between them.
fn only(ranges: &[Range<usize>], data: &[u8]) -> Option<Vec<u8>> {
    let end = ranges.iter().map(|range| range.end).max()?;
    let mut used = vec![0; end];
    for range in ranges {
        used.get_mut(range.clone())?.copy_from_slice(data.get(range.clone())?);
    }
    Some(used)
}

/// Returns the length of a type of fixed layout, in bytes.
fn type_bytes(data: &[u8]) -> Option<usize> {
    match data.first_chunk::<4>()? {
        b"XYZ " => Some(20),
        b"sf32" => Some(8 + 9 * 4),
        b"cicp" => Some(12),
        b"curv" => usize::try_from(u32_at(data, 8)?).ok()?.checked_mul(2)?.checked_add(12),
        b"para" => Some(12 + 4 * [1, 3, 4, 5, 7].get(u16_at(data, 8)?)?),
        // Channels and grid points, matrix, input curves, grid, output curves.
        b"mft1" => grid_bytes(data, 10, false)?.checked_add(48 + 256 * (byte_at(data, 8)? + byte_at(data, 9)?)),
        b"mft2" => {
            let curves = u16_at(data, 48)? * byte_at(data, 8)? + u16_at(data, 50)? * byte_at(data, 9)?;
            grid_bytes(data, 10, false)?.checked_add(curves)?.checked_mul(2)?.checked_add(52)
        }
        _ => None,
    }
}

/// Returns the number of values in a grid. The byte at `points` is the number of points of all input channels, or, if
/// `is_each`, of the first one.
fn grid_bytes(data: &[u8], points: usize, is_each: bool) -> Option<usize> {
    let (inputs, outputs) = (byte_at(data, 8)?, byte_at(data, 9)?);
    (0..inputs)
        .try_fold(outputs, |values, input| values.checked_mul(byte_at(data, points + if is_each { input } else { 0 })?))
}

/// Returns the ranges that `lutAToBType` and `lutBToAType` refer to (ICC.1:2022, 10.12, 10.13).
fn lut_ranges(data: &[u8]) -> Option<Vec<Range<usize>>> {
    let offset = |at: usize| usize::try_from(u32_at(data, at)?).ok();
    let (inputs, outputs) = (byte_at(data, 8)?, byte_at(data, 9)?);
    let (pcs, device) = if data.starts_with(b"mAB ") { (outputs, inputs) } else { (inputs, outputs) };
    let mut ranges = Vec::new();
    ranges.push(0..32);
    for (at, count) in [(12, pcs), (20, pcs), (28, device)] {
        let mut next = offset(at)?;
        for _ in 0..if next == 0 { 0 } else { count } {
            let curve = data.get(next..).filter(|curve| curve.starts_with(b"curv") || curve.starts_with(b"para"))?;
            let end = next.checked_add(type_bytes(curve)?)?;
            ranges.push(next..end);
            next = end.next_multiple_of(4);
        }
    }
    match offset(16)? {
        0 => {}
        matrix => ranges.push(matrix..matrix.checked_add(48)?),
    }
    match offset(24)? {
        0 => {}
        // Grid points of 16 channels, precision, three bytes of padding.
        grid => {
            let values = grid_bytes(data, grid, true)?.checked_mul(byte_at(data, grid.checked_add(16)?)?)?;
            ranges.push(grid..grid.checked_add(20)?.checked_add(values)?);
        }
    }
    Some(ranges).filter(|ranges| ranges.iter().all(|range| range.end <= data.len()))
}

fn byte_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at).copied().map(usize::from)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn u32_bytes(value: usize) -> Option<[u8; 4]> {
    u32::try_from(value).ok().map(u32::to_be_bytes)
}
