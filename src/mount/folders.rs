//! Open folders: each remembers what it read and did not yet tell.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
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
}

impl Folders {
    /// # Errors
    /// As [`View::open_folder`].
    pub(super) fn open(&self, view: &View, node: NodeId) -> Result<u64> {
        let open = view.open_folder(node)?;
        let folder = Folder { open, ready: VecDeque::new(), after: 0 };
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
        while self.ready.len() < BATCH {
            match self.open.next(view, from) {
                Ok(Some(item)) => {
                    from = item.cursor;
                    self.ready.push_back(item);
                }
                // What was found before it is told first; it comes again where that ends.
                Err(error) if self.ready.is_empty() => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}
