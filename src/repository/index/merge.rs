//! Merges the sorted records of several levels and of a builder into one sorted stream.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::SegmentInfo;
use super::level::Level;
use super::packs::{NewPack, Packs};
use crate::error::{Error, Result};
use crate::format::index::IndexRecord;
use crate::model::ObjectHash;

/// Sorted records of several sources with their packs numbered anew. Records are streamed, so
/// memory holds only those of the builder.
pub(super) struct Merged {
    packs: Packs,
    records: Vec<IndexRecord>,
    /// Levels, each with the new numbers of its packs.
    levels: Vec<(Arc<Level>, Vec<u32>)>,
}

impl Merged {
    /// Takes sorted records with their packs, and levels.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a level cannot be read.
    pub(super) fn new(
        mut packs: Packs,
        records: Vec<IndexRecord>,
        others: &[Arc<Level>],
    ) -> Result<Self> {
        let mut levels = Vec::new();
        for level in others {
            let mut numbers = Vec::with_capacity(level.pack_count() as usize);
            for pack_no in 0..level.pack_count() {
                let info = level.pack(pack_no);
                if info.hash == ObjectHash([0; 32]) {
                    return Err(Error::damaged("local index", "a pack is unreadable"));
                }
                let segments: Option<Vec<SegmentInfo>> =
                    (0..info.segments).map(|no| level.segment(pack_no, no)).collect();
                let segments = segments
                    .ok_or_else(|| Error::damaged("local index", "a segment is unreadable"))?;
                numbers.push(packs.add(NewPack {
                    hash: info.hash,
                    len: info.len,
                    pack_type: info.pack_type,
                    segments,
                }));
            }
            levels.push((Arc::clone(level), numbers));
        }
        Ok(Self { packs, records, levels })
    }

    pub(super) fn packs(&self) -> &[NewPack] {
        self.packs.all()
    }

    /// How many records there are at most: copies of one record are written once.
    pub(super) fn records_max(&self) -> u64 {
        let levels: u64 = self.levels.iter().map(|(level, _)| level.record_count()).sum();
        self.records.len() as u64 + levels
    }

    /// Calls `write` with each different record in order.
    pub(super) fn for_each(
        &self,
        write: &mut dyn FnMut(&IndexRecord) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let damaged = || std::io::Error::other("a level of the local index is unreadable");
        let mut sources: Vec<Box<dyn Iterator<Item = Option<IndexRecord>> + '_>> =
            vec![Box::new(self.records.iter().copied().map(Some))];
        for (level, numbers) in &self.levels {
            sources.push(Box::new((0..level.record_count()).map(move |number| {
                let mut record = level.record(number)?;
                record.pack_no = *numbers.get(record.pack_no as usize)?;
                Some(record)
            })));
        }
        let mut heap = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(record) = source.next() {
                heap.push(Reverse((record.ok_or_else(damaged)?, number)));
            }
        }
        let mut last = None;
        while let Some(Reverse((record, number))) = heap.pop() {
            if last != Some(record) {
                write(&record)?;
                last = Some(record);
            }
            if let Some(next) = sources[number].next() {
                heap.push(Reverse((next.ok_or_else(damaged)?, number)));
            }
        }
        Ok(())
    }
}
