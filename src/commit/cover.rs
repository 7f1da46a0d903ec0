//! Makes sure that every chunk and page of a manifest has a copy that nobody is about to remove,
//! and copies what has none.

use std::collections::HashSet;

use super::{Root, overtaken};
use crate::error::{Error, Result};
use crate::model::{ChunkId, PageId};
use crate::repository::{PackWriter, Repository, SegmentUse, SegmentWriter, WriterOptions};
use crate::runtime::Runtime;
use crate::tree::{IdKind, SeenPages, each_id};

/// One pass over some manifests.
pub(super) struct Cover<'r> {
    repository: &'r Repository,
    runtime: &'r Runtime,
}

impl<'r> Cover<'r> {
    pub(super) fn new(repository: &'r Repository, runtime: &'r Runtime) -> Self {
        Self { repository, runtime }
    }

    /// Copies what these manifests need and no usable pack has; after it everything is durable and
    /// in the index.
    ///
    /// # Errors
    /// [`Error::Overtaken`] if something is gone; the storage's.
    pub(super) fn make_sure(&self, roots: &[Root]) -> Result<()> {
        let index = self.repository.index();
        let mut missing: HashSet<(bool, [u8; 32])> = HashSet::new();
        let mut look = |kind: IdKind, id: &[u8; 32]| {
            if index.find(id).is_none() {
                missing.insert((kind == IdKind::Page, *id));
            }
        };
        let mut seen = SeenPages::default();
        let bad = each_id(self.repository, roots, &mut seen, &mut look, self.runtime)?;
        if let Some(error) = bad.first() {
            return Err(overtaken(&format!(
                "what this run relies on was pruned while it paused: {error}"
            )));
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.copy(&missing)
    }

    fn copy(&self, missing: &HashSet<(bool, [u8; 32])>) -> Result<()> {
        // Together what lies together: each segment is decoded once, and its chunks stay among
        // themselves, as different clients must not share a segment.
        let index = self.repository.index();
        let mut places = Vec::with_capacity(missing.len());
        for (is_page, id) in missing {
            let Some(location) = index.find_all(id).into_iter().next() else {
                return Err(gone(
                    1,
                    &Error::NotFound { what: "chunk", name: ChunkId(*id).to_string() },
                ));
            };
            places.push((location, *is_page, *id));
        }
        places.sort_unstable();
        let writer = self.repository.pack_writer(&WriterOptions::default(), self.runtime);
        let copied = self.copy_all(&places, &writer);
        // What was copied is named even if not all could be.
        let finished = writer.finish();
        copied?;
        finished.map(drop)
    }

    fn copy_all(
        &self,
        places: &[(crate::repository::Location, bool, [u8; 32])],
        writer: &PackWriter,
    ) -> Result<()> {
        let mut data = writer.segment_writer(SegmentUse::LargeFiles);
        let mut meta = writer.segment_writer(SegmentUse::Pages);
        let mut reader = self.repository.reader();
        let mut last = None;
        for (location, is_page, id) in places {
            self.runtime.cancel.check()?;
            let segment = (location.pack, location.segment_no);
            if last.replace(segment) != Some(segment) {
                flush(&mut data, &mut meta)?;
            }
            let read = match is_page {
                true => reader.page(PageId(*id)),
                false => reader.chunk(ChunkId(*id)),
            };
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(error) if error.is_damage() => return Err(gone(places.len(), &error)),
                Err(error) => return Err(error),
            };
            let into = if *is_page { &mut meta } else { &mut data };
            into.push(id, &bytes)?;
        }
        flush(&mut data, &mut meta)
    }
}

fn flush(data: &mut SegmentWriter, meta: &mut SegmentWriter) -> Result<()> {
    data.flush()?;
    meta.flush()
}

fn gone(missing: usize, error: &Error) -> Error {
    let what = format!(
        "what this run relies on was pruned while it paused ({missing} of its chunks): {error}"
    );
    overtaken(&what)
}
