//! The entry with one path in many manifests: pages that several have are read once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::page::{decode_inner, decode_leaf};
use crate::model::entry::compare_paths;
use crate::model::{Entry, PageId};
use crate::repository::{Reader, Repository};
use crate::tree::Manifest;
use crate::tree::find::check_last;

/// What a page leads to: the entry, nothing, or damage.
pub(super) type Known = Result<Option<Arc<Entry>>, Arc<Error>>;

/// Looks one path up. Neighbouring snapshots share nearly all pages: as soon as a page was seen in
/// another manifest, what is below it is known.
pub(super) struct Lookup<'r> {
    reader: Reader<'r>,
    path: Vec<u8>,
    known: HashMap<PageId, Known>,
    pages_read: u64,
}

impl<'r> Lookup<'r> {
    pub(super) fn new(repository: &'r Repository, path: &[u8]) -> Self {
        let reader = repository.reader();
        Self { reader, path: path.to_vec(), known: HashMap::new(), pages_read: 0 }
    }

    pub(super) fn pages_read(&self) -> u64 {
        self.pages_read
    }

    /// The entry in `manifest`, if it has one.
    ///
    /// # Errors
    /// What is no damage of a page: storage that cannot be reached.
    pub(super) fn find(&mut self, manifest: &Manifest) -> Result<Known> {
        let mut way = Vec::new();
        let (mut page, mut level) = (manifest.root(), manifest.depth());
        let mut last = None;
        let found = loop {
            if let Some(known) = self.known.get(&page) {
                break known.clone();
            }
            way.push(page);
            match self.step(page, level, last.as_deref()) {
                Ok(Step::Below(child, end)) => {
                    (page, level, last) = (child, level - 1, Some(end));
                }
                Ok(Step::Found(entry)) => break Ok(entry),
                Err(error) if error.is_damage() => break Err(Arc::new(error)),
                Err(error) => return Err(error),
            }
        };
        self.known.extend(way.into_iter().map(|page| (page, found.clone())));
        Ok(found)
    }

    fn step(&mut self, page: PageId, level: u8, last: Option<&[u8]>) -> Result<Step> {
        self.pages_read += 1;
        let bytes = self.reader.page(page)?;
        let name = format!("page {page}");
        if level == 0 {
            let mut entries = decode_leaf(&bytes, &name)?;
            check_last(last, entries.last().map(|entry| entry.path.as_slice()), &name)?;
            let at = entries.binary_search_by(|entry| compare_paths(&entry.path, &self.path));
            return Ok(Step::Found(at.ok().map(|at| Arc::new(entries.swap_remove(at)))));
        }
        let mut children = decode_inner(&bytes, level, &name)?;
        check_last(last, children.last().map(|child| child.last.0.as_slice()), &name)?;
        let at = children.partition_point(|c| compare_paths(&c.last.0, &self.path).is_lt());
        Ok(match at < children.len() {
            true => {
                let child = children.swap_remove(at);
                Step::Below(child.page, child.last.0)
            }
            false => Step::Found(None),
        })
    }
}

enum Step {
    /// The page in which it would be, and the last path in that.
    Below(PageId, Vec<u8>),
    Found(Option<Arc<Entry>>),
}
