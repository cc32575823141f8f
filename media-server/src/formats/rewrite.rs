//! Copy-on-write output of a rewritten file: nothing is copied as long as the output is a prefix of the original.

use std::ops::Range;

use bytes::Bytes;

/// Builds a file from parts of `original` and new bytes, front to back.
pub(super) struct Rewrite<'a> {
    original: &'a [u8],
    /// Without a copy: length of the output, a prefix of the original.
    common: usize,
    copy: Option<Vec<u8>>,
}

/// A rewritten file.
pub(super) enum Rewritten {
    /// This many bytes of the original.
    Prefix(usize),
    Copy(Vec<u8>),
}

impl Default for Rewritten {
    fn default() -> Self {
        Self::Prefix(0)
    }
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(original: &'a [u8]) -> Self {
        Self { original, common: 0, copy: None }
    }

    /// Appends `range` of the original.
    pub(super) fn keep(&mut self, range: Range<usize>) {
        if self.copy.is_none() && range.start == self.common {
            self.common = range.end.min(self.original.len());
        } else {
            let original = self.original;
            self.put(original.get(range).unwrap_or_default());
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.copy.is_none() && self.original.get(self.common..).is_some_and(|rest| rest.starts_with(bytes)) {
            self.common += bytes.len();
        } else {
            self.copy().extend_from_slice(bytes);
        }
    }

    /// Overwrites appended output, such as a size that precedes its data.
    pub(super) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let range = at..at + bytes.len();
        if self.copy.is_none() && self.original.get(range.clone()) == Some(bytes) {
            return;
        }
        if let Some(target) = self.copy().get_mut(range) {
            target.copy_from_slice(bytes);
        }
    }

    /// Returns the length of the output.
    pub(super) fn len(&self) -> usize {
        self.copy.as_ref().map_or(self.common, Vec::len)
    }

    pub(super) fn finish(self) -> Rewritten {
        self.copy.map_or(Rewritten::Prefix(self.common), Rewritten::Copy)
    }

    fn copy(&mut self) -> &mut Vec<u8> {
        self.copy.get_or_insert_with(|| {
            let mut copy = Vec::with_capacity(self.original.len());
            copy.extend_from_slice(self.original.get(..self.common).unwrap_or_default());
            copy
        })
    }
}

impl Rewritten {
    /// Returns the file; it shares the memory of `original` if it is a prefix.
    pub(super) fn into_bytes(self, original: &Bytes) -> Bytes {
        match self {
            Self::Prefix(length) => original.slice(..length),
            Self::Copy(bytes) => bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(rewrite: Rewrite<'_>, original: &Bytes) -> Bytes {
        rewrite.finish().into_bytes(original)
    }

    #[test]
    fn equal_output_is_not_copied() {
        let original = Bytes::from_static(b"abcdef");
        let mut rewrite = Rewrite::new(&original);
        rewrite.keep(0..2);
        rewrite.put(b"c");
        rewrite.keep(3..6);
        rewrite.patch(2, b"cd");
        assert_eq!(finished(rewrite, &original).as_ptr(), original.as_ptr());
    }

    #[test]
    fn prefix_of_the_original_is_not_copied() {
        let original = Bytes::from_static(b"abcdef");
        let mut rewrite = Rewrite::new(&original);
        rewrite.keep(0..4);
        let trimmed = finished(rewrite, &original);
        assert_eq!((trimmed.as_ptr(), &trimmed[..]), (original.as_ptr(), &b"abcd"[..]));
    }

    #[test]
    fn output_equals_the_appended_parts() {
        let original = Bytes::from_static(b"abcdef");
        let mut rewrite = Rewrite::new(&original);
        rewrite.keep(0..2);
        rewrite.put(b"xyz");
        rewrite.keep(5..6);
        rewrite.patch(1, b"-");
        assert_eq!(rewrite.len(), 6);
        assert_eq!(finished(rewrite, &original), "a-xyzf");
        assert_eq!(finished(Rewrite::new(&original), &original), "");
    }

    #[test]
    fn patch_of_a_shared_prefix_copies() {
        let original = Bytes::from_static(b"abcdef");
        let mut rewrite = Rewrite::new(&original);
        rewrite.keep(0..6);
        rewrite.patch(0, b"z");
        assert_eq!(finished(rewrite, &original), "zbcdef");
    }
}
