//! What emitter, workers and collector hand to each other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::content::SliceContent;
use super::options::StdinSource;
use super::report::BackupStats;
use crate::error::Result;
use crate::fsmeta::{self, Stat};
use crate::model::Entry;
use crate::runtime::Issue;
use crate::source::WalkEntry;
use crate::tree::ListWriter;

/// One entry's worth of work.
pub(super) enum Task {
    /// Nothing about it changed; its content must still be stored.
    Keep { entry: Entry, walked: WalkEntry },
    /// A further name of a file; its attributes are read if it is given.
    Link { entry: Entry, walked: Option<WalkEntry>, known: bool },
    /// New or changed. `known`: the parent has this path.
    Read { entry: Entry, walked: WalkEntry, known: bool },
    /// Something that went wrong before.
    Issue(Issue),
}

/// What a worker takes.
pub(super) enum Job {
    /// Neighbouring entries.
    Batch { seq: u64, tasks: Vec<Task> },
    /// One slice of a large file.
    Slice(Arc<SlicedFile>, u64),
    /// A stream.
    Stream { seq: u64, entry: Box<Entry>, source: Arc<StdinSource> },
}

/// What comes out of a job, in the order of the tasks.
pub(super) struct Done {
    pub(super) seq: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) issues: Vec<Issue>,
    pub(super) stats: BackupStats,
}

impl Done {
    pub(super) fn new(seq: u64) -> Self {
        Self { seq, entries: Vec::new(), issues: Vec::new(), stats: BackupStats::default() }
    }
}

/// The slices of a large file, put together in their order as they come.
#[derive(Default)]
pub(super) struct Joined {
    /// Slices that others come before.
    pub(super) waiting: BTreeMap<u64, Result<SliceContent, io::Error>>,
    /// The slice that is wanted next.
    pub(super) next: u64,
    /// The file ended before the slice that is wanted next.
    pub(super) ended: bool,
    pub(super) error: Option<io::Error>,
    pub(super) list: ListWriter,
    pub(super) sparse: bool,
    pub(super) read: u64,
}

/// A large file whose slices are read by several workers.
pub(super) struct SlicedFile {
    pub(super) seq: u64,
    pub(super) entry: Entry,
    pub(super) walked: WalkEntry,
    pub(super) known: bool,
    pub(super) opened: Mutex<Option<(Arc<File>, Stat)>>,
    pub(super) joined: Mutex<Joined>,
    pub(super) left: AtomicU64,
}

impl SlicedFile {
    pub(super) fn new(seq: u64, entry: Entry, walked: WalkEntry, known: bool, slices: u64) -> Self {
        Self {
            seq,
            entry,
            walked,
            known,
            opened: Mutex::new(None),
            joined: Mutex::default(),
            left: AtomicU64::new(slices),
        }
    }

    pub(super) fn open(&self) -> io::Result<(Arc<File>, Stat)> {
        let mut opened = self.opened.lock();
        if let Some((file, stat)) = &*opened {
            return Ok((Arc::clone(file), *stat));
        }
        let file = Arc::new(self.walked.open()?);
        let stat = fsmeta::stat_fd(&*file)?;
        *opened = Some((Arc::clone(&file), stat));
        Ok((file, stat))
    }
}
