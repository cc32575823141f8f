//! A file rewritten piece by piece, which costs no copy where nothing changes.

use std::ops::Range;

use bytes::Bytes;

/// What is kept of `original`, in its order.
pub(super) struct Rewrite<'a> {
    original: &'a Bytes,
    pieces: Vec<Piece>,
    len: usize,
}

/// Bytes of the original, or others in their place.
struct Piece {
    range: Range<usize>,
    instead: Option<Vec<u8>>,
}

/// A piece that [`Rewrite::correct`] finds again.
pub(super) struct PieceId(usize);

impl<'a> Rewrite<'a> {
    pub(super) fn new(original: &'a Bytes) -> Self {
        Self { original, pieces: Vec::new(), len: 0 }
    }

    /// Keeps what stands in `range`.
    pub(super) fn keep(&mut self, range: Range<usize>) {
        self.len += range.len();
        match self.pieces.last_mut() {
            Some(last) if last.instead.is_none() && last.range.end == range.start => last.range.end = range.end,
            _ => self.pieces.push(Piece { range, instead: None }),
        }
    }

    /// Writes `bytes` instead of what stands in `range`.
    pub(super) fn replace(&mut self, range: Range<usize>, bytes: Vec<u8>) -> PieceId {
        self.len += bytes.len();
        self.pieces.push(Piece { range, instead: Some(bytes) });
        PieceId(self.pieces.len() - 1)
    }

    /// Writes other bytes for a piece that was replaced: a size that is known at the end only.
    pub(super) fn correct(&mut self, PieceId(id): PieceId, bytes: Vec<u8>) {
        if let Some(piece) = self.pieces.get_mut(id) {
            self.len += bytes.len();
            self.len -= piece.instead.replace(bytes).map_or(0, |before| before.len());
        }
    }

    /// The new file's size, in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The new file: the original itself where it is the same.
    pub(super) fn finish(self) -> Bytes {
        if self.is_unchanged() {
            return self.original.clone();
        }
        let mut new = Vec::with_capacity(self.len);
        for piece in &self.pieces {
            new.extend_from_slice(self.bytes(piece));
        }
        new.into()
    }

    fn is_unchanged(&self) -> bool {
        let mut at = 0;
        for piece in &self.pieces {
            if piece.range.start != at || self.original.get(piece.range.clone()) != Some(self.bytes(piece)) {
                return false;
            }
            at = piece.range.end;
        }
        at == self.original.len()
    }

    fn bytes<'b>(&'b self, piece: &'b Piece) -> &'b [u8] {
        match &piece.instead {
            Some(bytes) => bytes,
            None => self.original.get(piece.range.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_the_same_is_not_copied() {
        let original = Bytes::from_static(b"abcdef");
        let mut rewrite = Rewrite::new(&original);
        rewrite.keep(0..2);
        let size = rewrite.replace(2..3, b"?".to_vec());
        rewrite.keep(3..4);
        rewrite.keep(4..6);
        rewrite.correct(size, b"c".to_vec());
        assert_eq!(rewrite.finish().as_ptr(), original.as_ptr());
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let original = Bytes::from_static(b"abcdef");
        let mut rewrite = Rewrite::new(&original);
        rewrite.keep(0..2);
        rewrite.replace(3..4, b"xyz".to_vec());
        rewrite.keep(5..6);
        assert_eq!(rewrite.len(), 6);
        assert_eq!(rewrite.finish(), "abxyzf");
        assert_eq!(Rewrite::new(&original).finish(), "");
    }
}
