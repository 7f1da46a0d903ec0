//! Open folders: each remembers what it read and did not yet tell.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::view::{FolderItem, NodeId, OpenFolder, View};

/// Items that are read at once: about what one answer takes.
const BATCH: usize = 32;

/// All open folders, by the number that the kernel has for them.
#[derive(Default)]
pub(super) struct Folders(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u64,
    folders: HashMap<u64, Arc<Mutex<Folder>>>,
}

/// An open folder.
pub(super) struct Folder {
    open: OpenFolder,
    /// What was read and not told, and after which item the first of it comes.
    ready: VecDeque<FolderItem>,
    after: u64,
    /// Some of what is in it is lost, which is told after the item with this cursor, each time that
    /// somebody gets there: a listing that ended well there would be taken for the whole folder.
    lost_after: Option<u64>,
}

impl Folders {
    /// # Errors
    /// As [`View::open_folder`].
    pub(super) fn open(&self, view: &View, node: NodeId) -> Result<u64> {
        let open = view.open_folder(node)?;
        let folder = Folder { open, ready: VecDeque::new(), after: 0, lost_after: None };
        let mut open = self.0.lock();
        open.last += 1;
        let number = open.last;
        open.folders.insert(number, Arc::new(Mutex::new(folder)));
        Ok(number)
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Mutex<Folder>>> {
        self.0.lock().folders.get(&number).cloned()
    }

    pub(super) fn close(&self, number: u64) {
        self.0.lock().folders.remove(&number);
    }
}

impl Folder {
    /// Hands what comes after the item with the cursor `after` to `take`, until that returns
    /// `false`: the item was not taken then.
    ///
    /// # Errors
    /// If a page cannot be read; what was taken before stays taken.
    pub(super) fn read(
        &mut self,
        view: &View,
        after: u64,
        mut take: impl FnMut(&FolderItem) -> bool,
    ) -> Result<()> {
        if after != self.after {
            self.ready.clear();
            self.after = after;
        }
        loop {
            if self.ready.is_empty() {
                self.fill(view)?;
            }
            let Some(item) = self.ready.front() else { return Ok(()) };
            if !take(item) {
                return Ok(());
            }
            self.after = item.cursor;
            self.ready.pop_front();
        }
    }

    fn fill(&mut self, view: &View) -> Result<()> {
        let mut from = self.after;
        if self.lost_after == Some(from) {
            return Err(Error::damaged("folder", "some of what is in it is lost"));
        }
        while self.ready.len() < BATCH && self.lost_after != Some(from) {
            match self.open.next(view, from) {
                Ok(Some(item)) => {
                    from = item.cursor;
                    self.ready.push_back(item);
                }
                Ok(None) => break,
                Err(error) => {
                    if error.is_damage() {
                        self.lost_after = Some(from);
                    }
                    // What was found before it is told first.
                    if self.ready.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        Ok(())
    }
}
