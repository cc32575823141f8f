//! Reading of stored objects: opened once, streamed in chunks.

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

use super::object::ObjectKey;
use super::{Storage, StorageError, local};

/// Size of a chunk, and of the prefix that opening an object reads.
pub const CHUNK_BYTES: u64 = 64 * 1024;

/// How much of an object opening it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At most [`CHUNK_BYTES`].
    Prefix,
    Whole,
}

/// An open object.
#[derive(Clone, Debug)]
pub struct StoredObject {
    pub(super) key: ObjectKey,
    pub size_bytes: u64,
    pub modified: SystemTime,
    /// [`CHUNK_BYTES`], or all of it.
    pub prefix: Bytes,
    /// Of a local storage: stays readable after a deletion, so that a response is not cut.
    pub(super) file: Option<Arc<File>>,
}

impl StoredObject {
    /// An object that is in memory as a whole.
    pub(super) fn new(key: ObjectKey, modified: SystemTime, bytes: Bytes) -> Self {
        Self { key, size_bytes: bytes.len() as u64, modified, prefix: bytes, file: None }
    }

    /// Returns a range that is in memory.
    pub fn prefix_slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        (from <= to && to <= self.prefix.len()).then(|| self.prefix.slice(from..to))
    }
}

type Chunks = BoxStream<'static, Result<Bytes, StorageError>>;

impl Storage {
    pub(super) async fn open_object(
        &self,
        key: ObjectKey,
        extent: Extent,
    ) -> Result<Option<StoredObject>, StorageError> {
        let range = (extent == Extent::Prefix).then_some(GetRange::Bounded(0..CHUNK_BYTES));
        let options = GetOptions { range, ..GetOptions::default() };
        let opened = match self.store().get_opts(&key.path(), options).await {
            Ok(opened) => opened,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (size_bytes, modified) = (opened.meta.size, opened.meta.last_modified.into());
        let prefix_bytes = if extent == Extent::Prefix { size_bytes.min(CHUNK_BYTES) } else { size_bytes };
        let (prefix, file) = match opened.payload {
            GetResultPayload::File(file, _) => {
                let file = Arc::new(file);
                (local::read(Arc::clone(&file), opened.range).await?, Some(file))
            }
            GetResultPayload::Stream(chunks) => {
                // Without excess capacity: it may be cached.
                let prefix = BytesMut::with_capacity(usize::try_from(prefix_bytes).unwrap_or_default());
                (chunks.try_fold(prefix, append).await?.freeze(), None)
            }
        };
        if prefix.len() as u64 != prefix_bytes {
            return Err(StorageError::Truncated);
        }
        Ok(Some(StoredObject { key, size_bytes, modified, prefix, file }))
    }

    /// Streams `range` of an object in chunks, each with the timeout of an operation. Fails if the object ends early.
    pub fn stream(&self, object: StoredObject, range: Range<u64>) -> BoxStream<'static, Result<Bytes, StorageError>> {
        if let Some(bytes) = object.prefix_slice(&range) {
            return futures_util::stream::once(std::future::ready(Ok(bytes))).boxed();
        }
        match object.file {
            Some(file) => self.file_chunks(file, range),
            None => self.object_chunks(object.key, object.prefix, range),
        }
    }

    /// Returns all bytes of an object, within the timeout of one operation.
    pub async fn complete(&self, object: StoredObject) -> Result<Bytes, StorageError> {
        let size_bytes = object.size_bytes;
        if let Some(bytes) = object.prefix_slice(&(0..size_bytes)) {
            return Ok(bytes);
        }
        let whole = BytesMut::with_capacity(usize::try_from(size_bytes).unwrap_or_default());
        let read = self.stream(object, 0..size_bytes).try_fold(whole, append);
        Ok(timeout(self.timeout, read).await.unwrap_or(Err(StorageError::Timeout))?.freeze())
    }

    fn file_chunks(&self, file: Arc<File>, range: Range<u64>) -> Chunks {
        let this = self.clone();
        futures_util::stream::try_unfold(range, move |left| {
            let (this, file) = (this.clone(), Arc::clone(&file));
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let now = left.start..left.end.min(left.start + CHUNK_BYTES);
                let next = now.end..left.end;
                let chunk = this.run(local::read(file, now)).await?;
                Ok(Some((chunk, next)))
            }
        })
        .boxed()
    }

    /// Streams the rest of the prefix, then one request for all that follows.
    fn object_chunks(&self, key: ObjectKey, mut prefix: Bytes, range: Range<u64>) -> Chunks {
        let in_memory = range.start.min(prefix.len() as u64);
        let prefix = prefix.split_off(usize::try_from(in_memory).unwrap_or(prefix.len()));
        let rest = range.start + prefix.len() as u64..range.end;
        let (this, path) = (self.clone(), key.path());
        let rest = futures_util::stream::once(async move { this.open_range(path, rest).await }).try_flatten();
        let prefix = (!prefix.is_empty()).then_some(Ok(prefix));
        futures_util::stream::iter(prefix).chain(rest).boxed()
    }

    async fn open_range(&self, path: Path, range: Range<u64>) -> Result<Chunks, StorageError> {
        let this = self.clone();
        let (chunk_timeout, left) = (self.timeout, range.end - range.start);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let opened = self.run(async move { Ok(this.store().get_opts(&path, options).await?) }).await?;
        let chunks =
            futures_util::stream::try_unfold((opened.into_stream(), left), move |(mut chunks, left)| async move {
                let chunk = timeout(chunk_timeout, chunks.try_next()).await.map_err(|_| StorageError::Timeout)??;
                match chunk {
                    None if left == 0 => Ok(None),
                    None => Err(StorageError::Truncated),
                    Some(chunk) => {
                        let left = left.checked_sub(chunk.len() as u64).ok_or(StorageError::Truncated)?;
                        Ok(Some((chunk, (chunks, left))))
                    }
                }
            });
        Ok(chunks.boxed())
    }
}

async fn append<E>(mut all: BytesMut, chunk: Bytes) -> Result<BytesMut, E> {
    all.extend_from_slice(&chunk);
    Ok(all)
}
