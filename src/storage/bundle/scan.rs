//! Finds the objects of a bundle by the headers before them, where the directory is gone.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::catalog::{Catalog, Place};
use crate::format::bundle::{BundleId, HEADER_LEN, OBJECT_HEADER_LEN, OBJECT_MAGIC, ObjectHeader};
use crate::storage::name::check_name;

/// Bytes that are searched at a time.
const WINDOW: usize = 1 << 20;
/// What is passed over where the disk cannot be read.
const BAD_SECTOR: u64 = 4096;

/// All objects that are there with header and length. Whether their bytes are as they were is for
/// whoever reads them to see. If the bundle's id is not known, the first object that proves itself
/// gives it: so objects of a bundle that was backed up into this one are not taken for its own.
pub(super) fn scan(file: &File, file_len: u64, id: Option<BundleId>) -> Catalog {
    let mut scanner = Scanner { file, file_len, id, catalog: Catalog::default() };
    let mut at = HEADER_LEN as u64;
    loop {
        at = match scanner.object_at(at) {
            Some(end) => end,
            None => match scanner.search(at.saturating_add(1)) {
                Some(next) => next,
                None => break,
            },
        };
    }
    scanner.catalog
}

struct Scanner<'a> {
    file: &'a File,
    file_len: u64,
    id: Option<BundleId>,
    catalog: Catalog,
}

impl Scanner<'_> {
    /// Enters the object whose header is here, and says where it ends.
    fn object_at(&mut self, offset: u64) -> Option<u64> {
        let mut bytes = [0; OBJECT_HEADER_LEN];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        let header = ObjectHeader::decode(&bytes).ok()?;
        if self.id.is_some_and(|id| id != header.id) {
            return None;
        }
        let mut name = vec![0; header.name_len];
        self.file.read_exact_at(&mut name, offset.checked_add(bytes.len() as u64)?).ok()?;
        let name = header.name(&bytes, &name).ok()?;
        check_name(name).ok()?;
        let data = offset.checked_add((bytes.len() + name.len()) as u64)?;
        let end = data.checked_add(header.len).filter(|end| *end <= self.file_len)?;
        self.id = Some(header.id);
        let place = Place { offset, len: header.len, modified_ms: header.modified_ms };
        self.catalog.insert(name, header.hash, place);
        Some(end)
    }

    /// The next place, from `at` on, that begins like an object.
    fn search(&self, mut at: u64) -> Option<u64> {
        let mut window = Vec::new();
        while at < self.file_len {
            // A file that is mostly holes, by accident or on purpose, is not read for days.
            at = match rustix::fs::seek(self.file, SeekFrom::Data(at)) {
                Ok(data) => data.max(at),
                Err(Errno::NXIO) => return None,
                Err(_) => at,
            };
            let left = self.file_len.checked_sub(at)?;
            let len = left.min(WINDOW as u64) as usize;
            window.resize(len, 0);
            if self.file.read_exact_at(&mut window, at).is_err() {
                // Whatever can be read around the bad place.
                window.truncate(len.min(BAD_SECTOR as usize));
                if self.file.read_exact_at(&mut window, at).is_err() {
                    at += BAD_SECTOR - at % BAD_SECTOR;
                    continue;
                }
            }
            let found = window.windows(OBJECT_MAGIC.len()).position(|part| part == OBJECT_MAGIC);
            if let Some(found) = found {
                return Some(at + found as u64);
            }
            if window.len() < OBJECT_MAGIC.len() {
                return None;
            }
            // One that lies across the border is seen as a whole next time.
            at += (window.len() - OBJECT_MAGIC.len() + 1) as u64;
        }
        None
    }
}
