//! Merges sorted records of several sources into one sorted stream: what a builder collected,
//! runs in storage, and other levels. Nothing but a little of each source is held.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use super::level::Level;
use super::packs::{Kept, NewPack, PackEntry, Packs};
use super::run::RunSource;
use super::sort::Sorter;
use crate::error::{Error, Result};
use crate::format::index::IndexRecord;
use crate::model::BackupId;

/// Records in the order of ids. Those of one id may be in any order.
pub(super) trait Records {
    /// The next record; `None` at the end.
    fn next_record(&mut self) -> Result<Option<IndexRecord>>;
}

/// Why a merge failed, by what can be done about it.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// A run could not be read: the merge may go on without it.
    Run(BackupId, Error),
    /// A local level cannot be read: it must be made anew.
    Level,
    /// Anything else.
    Other(Error),
}

impl From<Error> for MergeError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl MergeError {
    /// As an error for whoever can do nothing about it.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Run(_, error) | Self::Other(error) => error,
            Self::Level => Error::damaged("local index", "a part of it is unreadable"),
        }
    }
}

/// A level with the new numbers of its packs.
pub(super) type NumberedLevel = (Arc<Level>, Vec<u32>);

/// What is merged.
pub(crate) struct Merged<'a> {
    pub(super) packs: &'a Packs,
    pub(super) kept: Kept,
    pub(super) sorter: &'a Sorter,
    pub(super) runs: &'a [RunSource],
    pub(super) levels: Vec<NumberedLevel>,
}

impl Merged<'_> {
    /// How many packs there are.
    pub(super) fn pack_count(&self) -> u64 {
        u64::from(self.kept.packs)
    }

    /// The packs that count, in the order of their new numbers.
    pub(super) fn packs(&self) -> impl Iterator<Item = &PackEntry> {
        let numbered = (0_u32..).zip(self.packs.entries());
        numbered.filter(|(number, _)| self.kept.number(*number).is_some()).map(|(_, entry)| entry)
    }

    /// Calls `write` with each pack and its segments.
    ///
    /// # Errors
    /// Those of `write`, and [`Error::Local`].
    pub(crate) fn each_pack(&self, write: &mut dyn FnMut(NewPack) -> Result<()>) -> Result<()> {
        for entry in self.packs() {
            write(NewPack {
                hash: entry.hash,
                len: entry.len,
                pack_type: entry.pack_type,
                segments: self.packs.segments_of(entry)?,
            })?;
        }
        Ok(())
    }

    /// Calls `write` with the bytes of each segment of the packs that count, in their order.
    ///
    /// # Errors
    /// Those of `write`, and [`Error::Local`].
    pub(super) fn each_segment(&self, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for entry in self.packs() {
            for segment in self.packs.segments_of(entry)? {
                write(&segment.encode())?;
            }
        }
        Ok(())
    }

    /// How many records there are at most: copies of one record are written once.
    pub(crate) fn records_max(&self) -> u64 {
        let levels: u64 = self.levels.iter().map(|(level, _)| level.record_count()).sum();
        let runs: u64 = self.runs.iter().map(|run| run.records).sum();
        self.sorter.len() + runs + levels
    }

    /// Calls `write` with each different record in order.
    ///
    /// # Errors
    /// Those of `write`, and what could not be read.
    pub(crate) fn each_record(
        &self,
        write: &mut dyn FnMut(&IndexRecord) -> Result<()>,
    ) -> Result<(), MergeError> {
        let mut sources: Vec<(Box<dyn Records + '_>, Origin)> = Vec::new();
        sources.extend(self.sorter.parts().into_iter().map(|part| (part, Origin::Builder)));
        for run in self.runs {
            let records = Box::new(run.records(self.runs.len()));
            sources.push((records, Origin::Run(run.run_id)));
        }
        for (level, numbers) in &self.levels {
            let records = LevelRecords { level, numbers, next: 0 };
            sources.push((Box::new(records), Origin::Level));
        }
        let count = sources.len();
        let mut next = |number: usize| {
            let (source, origin) = &mut sources[number];
            source.next_record().map_err(|error| match origin {
                Origin::Builder => MergeError::Other(error),
                Origin::Run(run_id) => MergeError::Run(*run_id, error),
                Origin::Level => MergeError::Level,
            })
        };
        let mut heap = BinaryHeap::new();
        for number in 0..count {
            if let Some(record) = next(number)? {
                heap.push(Reverse((record, number)));
            }
        }
        // Records of one id: nearly always one.
        let mut alike: Vec<IndexRecord> = Vec::new();
        let mut write_alike = |alike: &mut Vec<IndexRecord>| -> Result<()> {
            if alike.len() > 1 {
                alike.sort_unstable();
                alike.dedup();
            }
            for mut record in alike.drain(..) {
                if let Some(pack_no) = self.kept.number(record.pack_no) {
                    record.pack_no = pack_no;
                    write(&record)?;
                }
            }
            Ok(())
        };
        while let Some(mut top) = heap.peek_mut() {
            let Reverse((record, number)) = *top;
            match next(number)? {
                Some(record) => *top = Reverse((record, number)),
                None => _ = PeekMut::pop(top),
            }
            if alike.first().is_some_and(|other| other.id != record.id) {
                write_alike(&mut alike)?;
            }
            alike.push(record);
        }
        write_alike(&mut alike)?;
        Ok(())
    }
}

/// Where records come from.
#[derive(Clone, Copy)]
enum Origin {
    Builder,
    Run(BackupId),
    Level,
}

/// Records of a level that are read ahead: 12 MiB, and the next.
pub(super) const READ_AHEAD: u64 = 1 << 18;

struct LevelRecords<'l> {
    level: &'l Level,
    numbers: &'l [u32],
    next: u64,
}

impl Records for LevelRecords<'_> {
    fn next_record(&mut self) -> Result<Option<IndexRecord>> {
        if self.next == self.level.record_count() {
            return Ok(None);
        }
        if self.next.is_multiple_of(READ_AHEAD) {
            self.level.will_read(self.next, 2 * READ_AHEAD);
        }
        let damaged = || Error::damaged("local index", "a record is unreadable");
        let mut record = self.level.record(self.next).ok_or_else(damaged)?;
        record.pack_no = *self.numbers.get(record.pack_no as usize).ok_or_else(damaged)?;
        self.next += 1;
        Ok(Some(record))
    }
}
