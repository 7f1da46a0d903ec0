//! Sorts any number of records in little memory: sorted parts go to a spool and are merged later.

use std::path::Path;

use rayon::prelude::*;

use super::merge::Records;
use crate::error::Result;
use crate::format::index::{IndexRecord, RECORD_LEN};
use crate::runtime::{Elements, Spool};

/// Records that are held and sorted at once: 48 MiB. Few in tests, so that they spill.
const HELD_MAX: usize = if cfg!(test) { 64 } else { 1 << 20 };

/// Records in the order in which they come, and then in parts that are sorted.
pub(super) struct Sorter {
    held: Vec<IndexRecord>,
    spool: Spool,
    /// Where each part in the spool ends.
    ends: Vec<u64>,
}

impl Sorter {
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self { held: Vec::new(), spool: Spool::new(folder), ends: Vec::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.held.len() as u64 + self.spool.len() / RECORD_LEN as u64
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`crate::error::Error::Local`] if there is no room for it.
    pub(super) fn push(&mut self, record: IndexRecord) -> Result<()> {
        self.held.push(record);
        if self.held.len() >= HELD_MAX {
            self.sort();
            for record in &self.held {
                self.spool.push(&record.encode())?;
            }
            self.held.clear();
            self.ends.push(self.spool.len());
        }
        Ok(())
    }

    /// Sorts what is held: call it before [`Sorter::parts`].
    pub(super) fn sort(&mut self) {
        self.held.par_sort_unstable();
    }

    /// The sorted parts.
    pub(super) fn parts(&self) -> Vec<Box<dyn Records + '_>> {
        debug_assert!(self.held.is_sorted());
        let mut parts: Vec<Box<dyn Records + '_>> = vec![Box::new(self.held.iter())];
        let mut start = 0;
        for end in &self.ends {
            parts.push(Box::new(self.spool.elements::<RECORD_LEN>(start, *end)));
            start = *end;
        }
        parts
    }
}

impl Records for std::slice::Iter<'_, IndexRecord> {
    fn next_record(&mut self) -> Result<Option<IndexRecord>> {
        Ok(self.next().copied())
    }
}

impl Records for Elements<'_, RECORD_LEN> {
    fn next_record(&mut self) -> Result<Option<IndexRecord>> {
        Ok(self.next_element()?.as_ref().map(IndexRecord::decode))
    }
}
