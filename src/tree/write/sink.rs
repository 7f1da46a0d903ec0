//! Where a worker puts chunks and pages: into segments, or nowhere in a dry run.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::model::{ChunkId, PageId};
use crate::repository::{Added, Claims, PackWriter, Repository, SegmentUse, SegmentWriter};

/// Which segments the chunks of a file go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSize {
    Ordinary,
    Large,
}

impl FileSize {
    /// From this many bytes on a file counts as large; standard input always does.
    const LARGE_FROM: u64 = 64 << 20;

    pub(crate) fn of(size: Option<u64>) -> Self {
        match size {
            Some(size) if size < Self::LARGE_FROM => Self::Ordinary,
            _ => Self::Large,
        }
    }
}

/// What a dry run would have stored.
#[derive(Debug, Default)]
pub struct WouldAdd {
    chunks: AtomicU64,
    bytes: AtomicU64,
    claims: Claims,
}

impl WouldAdd {
    /// As if it had been stored, without the lengths that only compressing shows.
    pub fn added(&self) -> Added {
        Added {
            chunks: self.chunks.load(Ordering::Relaxed),
            plain_bytes: self.bytes.load(Ordering::Relaxed),
            ..Added::default()
        }
    }
}

/// One worker's way into the repository.
pub(crate) struct Sink<'r> {
    repository: &'r Repository,
    claims: &'r Claims,
    would_add: Option<&'r WouldAdd>,
    files: Option<SegmentWriter>,
    large: Option<SegmentWriter>,
    meta: Option<SegmentWriter>,
}

impl<'r> Sink<'r> {
    /// A sink; without a writer it stores nothing and counts what it would have stored.
    pub(crate) fn new(
        repository: &'r Repository,
        writer: Option<&'r PackWriter>,
        would_add: &'r WouldAdd,
    ) -> Self {
        let claims = writer.map_or(&would_add.claims, PackWriter::claims);
        Self::with_claims(repository, writer, claims, Some(would_add))
    }

    /// A sink that stores everything.
    pub(crate) fn storing(repository: &'r Repository, writer: &'r PackWriter) -> Self {
        Self::with_claims(repository, Some(writer), writer.claims(), None)
    }

    fn with_claims(
        repository: &'r Repository,
        writer: Option<&PackWriter>,
        claims: &'r Claims,
        would_add: Option<&'r WouldAdd>,
    ) -> Self {
        Self {
            repository,
            claims,
            would_add,
            files: writer.map(|w| w.segment_writer(SegmentUse::Files)),
            large: writer.map(|w| w.segment_writer(SegmentUse::LargeFiles)),
            meta: writer.map(|w| w.segment_writer(SegmentUse::Pages)),
        }
    }

    /// Whether an id need not be stored.
    pub(crate) fn has(&self, id: &[u8; 32]) -> bool {
        self.claims.contains(self.repository.index(), id)
    }

    pub(crate) fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Stores a chunk unless it is stored already.
    pub(crate) fn put_chunk(&mut self, bytes: &[u8], of: FileSize) -> Result<ChunkId> {
        let id = self.repository.constants().chunk_id(bytes);
        if self.claims.claim(self.repository.index(), &id.0) {
            let writer = match of {
                FileSize::Ordinary => &mut self.files,
                FileSize::Large => &mut self.large,
            };
            push(writer, self.would_add, &id.0, bytes)?;
        }
        Ok(id)
    }

    /// Stores a page unless it is stored already.
    pub(crate) fn put_page(&mut self, bytes: &[u8]) -> Result<PageId> {
        let id = self.repository.constants().page_id(bytes);
        if self.claims.claim(self.repository.index(), &id.0) {
            push(&mut self.meta, self.would_add, &id.0, bytes)?;
        }
        Ok(id)
    }

    /// Hands over open segments.
    pub(crate) fn flush(&mut self) -> Result<()> {
        for writer in [&mut self.files, &mut self.large, &mut self.meta].into_iter().flatten() {
            writer.flush()?;
        }
        Ok(())
    }
}

fn push(
    writer: &mut Option<SegmentWriter>,
    would_add: Option<&WouldAdd>,
    id: &[u8; 32],
    bytes: &[u8],
) -> Result<()> {
    match (writer, would_add) {
        (Some(writer), _) => writer.push(id, bytes),
        (None, None) => Ok(()),
        (None, Some(would_add)) => {
            would_add.chunks.fetch_add(1, Ordering::Relaxed);
            would_add.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(())
        }
    }
}
