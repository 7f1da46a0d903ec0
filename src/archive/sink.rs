//! Where a worker puts chunks and pages: into segments, or nowhere in a dry run.

use crate::error::Result;
use crate::format::pack::PackType;
use crate::model::{ChunkId, PageId};
use crate::repository::{PackWriter, Repository, SegmentWriter};

/// One worker's way into the repository.
pub(super) struct Sink<'r> {
    repository: &'r Repository,
    data: Option<SegmentWriter>,
    meta: Option<SegmentWriter>,
}

impl<'r> Sink<'r> {
    /// A sink; without a writer it stores nothing.
    pub(super) fn new(repository: &'r Repository, writer: Option<&PackWriter>) -> Self {
        Self {
            repository,
            data: writer.map(|w| w.segment_writer(PackType::Data)),
            meta: writer.map(|w| w.segment_writer(PackType::Meta)),
        }
    }

    pub(super) fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Stores a chunk unless it is stored already.
    pub(super) fn put_chunk(&mut self, bytes: &[u8]) -> Result<ChunkId> {
        let id = self.repository.constants().chunk_id(bytes);
        if let Some(data) = &mut self.data
            && self.repository.index().claim(&id.0)
        {
            data.push(&id.0, bytes)?;
        }
        Ok(id)
    }

    /// Stores a page unless it is stored already.
    pub(super) fn put_page(&mut self, bytes: &[u8]) -> Result<PageId> {
        let id = self.repository.constants().page_id(bytes);
        if let Some(meta) = &mut self.meta
            && self.repository.index().claim(&id.0)
        {
            meta.push(&id.0, bytes)?;
        }
        Ok(id)
    }

    /// Hands over open segments.
    pub(super) fn flush(&mut self) -> Result<()> {
        for writer in [&mut self.data, &mut self.meta].into_iter().flatten() {
            writer.flush()?;
        }
        Ok(())
    }
}
