//! Reading a picture: opened once, then given in pieces.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload};
use tokio::time::timeout;

use super::object::Object;
use super::{Storage, StorageError, local};

/// Read at once: a picture up to this size is one read, a larger one is sent in pieces of about it.
pub const PIECE_BYTES: u64 = 64 * 1024;

/// A picture that has been opened.
#[derive(Clone, Debug)]
pub struct Picture {
    pub(super) object: Object,
    /// Its size.
    pub size_bytes: u64,
    /// When it was stored.
    pub modified: SystemTime,
    /// Its first bytes: [`PIECE_BYTES`], or all of it.
    pub start: Bytes,
    /// Of a local storage, where it is not all in memory: stays readable after a deletion, so that an answer that has
    /// begun is not cut.
    pub(super) file: Option<Arc<File>>,
}

impl Picture {
    /// `range`, where it has been read already.
    pub fn part_of_start(&self, range: &Range<u64>) -> Option<Bytes> {
        let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        (from <= to && to <= self.start.len()).then(|| self.start.slice(from..to))
    }
}

/// A part of a picture on its way.
type Pieces = BoxStream<'static, Result<Bytes, StorageError>>;

impl Storage {
    pub(super) async fn open_object(&self, object: Object) -> Result<Option<Picture>, StorageError> {
        let path = object.path();
        let options = GetOptions { range: Some(GetRange::Bounded(0..PIECE_BYTES)), ..GetOptions::default() };
        let opened = match self.store().get_opts(&path, options).await {
            Ok(opened) => opened,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (size_bytes, modified) = (opened.meta.size, opened.meta.last_modified.into());
        let (start, file) = match opened.payload {
            GetResultPayload::File(file, _) => {
                let file = Arc::new(file);
                (local::read(Arc::clone(&file), opened.range).await?, Some(file))
            }
            GetResultPayload::Stream(pieces) => {
                // Exactly as much: it may be kept.
                let start = BytesMut::with_capacity(usize::try_from(size_bytes.min(PIECE_BYTES)).unwrap_or_default());
                (pieces.try_fold(start, append).await?.freeze(), None)
            }
        };
        if start.len() as u64 != size_bytes.min(PIECE_BYTES) {
            return Err(StorageError::CutShort);
        }
        Ok(Some(Picture { object, size_bytes, modified, start, file }))
    }

    /// Reads `range` of a picture in pieces; each may take as long as an operation may. It fails where it can't give all
    /// of the range, so that nobody takes a part for the whole.
    pub fn stream(&self, picture: Picture, range: Range<u64>) -> BoxStream<'static, Result<Bytes, StorageError>> {
        if let Some(part) = picture.part_of_start(&range) {
            return futures_util::stream::once(std::future::ready(Ok(part))).boxed();
        }
        match picture.file {
            Some(file) => self.file_pieces(file, range),
            None => self.object_pieces(picture.object, picture.start, range),
        }
    }

    /// Reads all of a picture, which may take as long as one operation.
    pub async fn whole(&self, picture: Picture) -> Result<Bytes, StorageError> {
        let size_bytes = picture.size_bytes;
        let whole = BytesMut::with_capacity(usize::try_from(size_bytes).unwrap_or_default());
        let read = self.stream(picture, 0..size_bytes).try_fold(whole, append);
        Ok(timeout(self.timeout, read).await.unwrap_or(Err(StorageError::Timeout))?.freeze())
    }

    fn file_pieces(&self, file: Arc<File>, range: Range<u64>) -> Pieces {
        let this = self.clone();
        futures_util::stream::try_unfold(range, move |left| {
            let (this, file) = (this.clone(), Arc::clone(&file));
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let now = left.start..left.end.min(left.start + PIECE_BYTES);
                let next = now.end..left.end;
                let piece = this.run(local::read(file, now)).await?;
                Ok(Some((piece, next)))
            }
        })
        .boxed()
    }

    /// What is not in memory yet is one request.
    fn object_pieces(&self, object: Object, mut start: Bytes, range: Range<u64>) -> Pieces {
        let in_memory = range.start.min(start.len() as u64);
        let start = start.split_off(usize::try_from(in_memory).unwrap_or(start.len()));
        let rest = range.start + start.len() as u64..range.end;
        let (this, path) = (self.clone(), object.path());
        let rest = futures_util::stream::once(async move { this.open_range(path, rest).await }).try_flatten();
        let start = (!start.is_empty()).then_some(Ok(start));
        futures_util::stream::iter(start).chain(rest).boxed()
    }

    async fn open_range(&self, path: Path, range: Range<u64>) -> Result<Pieces, StorageError> {
        let this = self.clone();
        let (patience, left) = (self.timeout, range.end - range.start);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let opened = self.run(async move { Ok(this.store().get_opts(&path, options).await?) }).await?;
        let pieces =
            futures_util::stream::try_unfold((opened.into_stream(), left), move |(mut pieces, left)| async move {
                let piece = timeout(patience, pieces.try_next()).await.map_err(|_| StorageError::Timeout)??;
                match piece {
                    None if left == 0 => Ok(None),
                    None => Err(StorageError::CutShort),
                    Some(piece) => {
                        let left = left.checked_sub(piece.len() as u64).ok_or(StorageError::CutShort)?;
                        Ok(Some((piece, (pieces, left))))
                    }
                }
            });
        Ok(pieces.boxed())
    }
}

async fn append<E>(mut all: BytesMut, piece: Bytes) -> Result<BytesMut, E> {
    all.extend_from_slice(&piece);
    Ok(all)
}
