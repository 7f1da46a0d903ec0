//! Where a worker puts chunks and pages: into segments, or nowhere in a dry run.

use crate::error::Result;
use crate::model::{ChunkId, PageId};
use crate::repository::{PackWriter, Repository, SegmentUse, SegmentWriter};

/// Which segments the chunks of a file go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSize {
    Ordinary,
    Large,
}

impl FileSize {
    /// From this many bytes on a file counts as large; standard input always does.
    const LARGE_FROM: u64 = 64 << 20;

    pub(super) fn of(size: Option<u64>) -> Self {
        match size {
            Some(size) if size < Self::LARGE_FROM => Self::Ordinary,
            _ => Self::Large,
        }
    }
}

/// One worker's way into the repository.
pub(super) struct Sink<'r> {
    repository: &'r Repository,
    files: Option<SegmentWriter>,
    large: Option<SegmentWriter>,
    meta: Option<SegmentWriter>,
}

impl<'r> Sink<'r> {
    /// A sink; without a writer it stores nothing.
    pub(super) fn new(repository: &'r Repository, writer: Option<&PackWriter>) -> Self {
        Self {
            repository,
            files: writer.map(|w| w.segment_writer(SegmentUse::Files)),
            large: writer.map(|w| w.segment_writer(SegmentUse::LargeFiles)),
            meta: writer.map(|w| w.segment_writer(SegmentUse::Pages)),
        }
    }

    pub(super) fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Stores a chunk unless it is stored already.
    pub(super) fn put_chunk(&mut self, bytes: &[u8], of: FileSize) -> Result<ChunkId> {
        let id = self.repository.constants().chunk_id(bytes);
        let data = match of {
            FileSize::Ordinary => &mut self.files,
            FileSize::Large => &mut self.large,
        };
        if let Some(data) = data
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
        for writer in [&mut self.files, &mut self.large, &mut self.meta].into_iter().flatten() {
            writer.flush()?;
        }
        Ok(())
    }
}
