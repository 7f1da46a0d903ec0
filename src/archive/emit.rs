//! Walks the sources in order, compares each entry with the parent's, and makes batches of work.

use std::collections::{HashMap, hash_map};
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::control::Control;
use super::job::{Job, SlicedFile, Task};
use super::options::BackupOptions;
use super::parent::ParentEntries;
use crate::error::Result;
use crate::fsmeta::OwnerNames;
use crate::model::{Entry, FileKind, Owner, Time};
use crate::repository::Repository;
use crate::runtime::{Issue, IssueKind, Runtime};
use crate::source::{FailureKind, Item, Walk, WalkEntry};

/// Entries in a batch at most.
const BATCH_ENTRIES: usize = 128;
/// Bytes to be read for a batch, about: neighbours go into one segment.
const BATCH_BYTES: u64 = 2 << 20;

/// The one thread that knows the order of everything.
pub(super) struct Emitter<'r, 'p> {
    options: &'r BackupOptions,
    runtime: &'r Runtime,
    control: &'r Control,
    jobs: Sender<Job>,
    parent: ParentEntries<'p>,
    slice_len: u64,
    owners: Owners,
    /// First paths of files with several names.
    links: HashMap<(u64, u64), FirstName>,
    batch: Vec<Task>,
    batch_bytes: u64,
    seq: u64,
}

impl<'r, 'p> Emitter<'r, 'p> {
    pub(super) fn new(
        repository: &'p Repository,
        options: &'r BackupOptions,
        runtime: &'r Runtime,
        control: &'r Control,
        jobs: Sender<Job>,
        parent: ParentEntries<'p>,
    ) -> Self {
        Self {
            options,
            runtime,
            control,
            jobs,
            parent,
            slice_len: repository.config().chunker.slice_len,
            owners: Owners::load(),
            links: HashMap::new(),
            batch: Vec::with_capacity(BATCH_ENTRIES),
            batch_bytes: 0,
            seq: 0,
        }
    }

    /// Emits everything that the walk finds. Returns how many pages of the parent could not be
    /// read.
    pub(super) fn run(mut self, mut walk: Walk) -> Result<u64> {
        while let Some(item) = walk.next_item()? {
            if self.control.is_stopped() {
                break;
            }
            match item {
                Item::Entry(entry) => self.entry(entry),
                Item::Failed(failure) => {
                    // Gone in a moment: so it is in every live tree.
                    let kind = match failure.kind {
                        FailureKind::Vanished
                        | FailureKind::Rules
                        | FailureKind::ForeignStaging => IssueKind::Warning,
                        _ => IssueKind::Failed,
                    };
                    let message = match failure.kind {
                        FailureKind::Vanished => "vanished while it was looked at".to_string(),
                        _ => failure.error.to_string(),
                    };
                    self.push(Task::Issue(Issue { kind, path: failure.path, message }), 0);
                }
            }
        }
        self.send_batch();
        self.runtime.progress.expect_no_more();
        Ok(self.parent.errors())
    }

    fn entry(&mut self, walked: WalkEntry) {
        let stat = walked.stat;
        let before = self.parent.take(&walked.path);
        let mut entry = Entry {
            mode: stat.mode,
            owner: self.owners.get(stat.uid, stat.gid),
            mtime: stat.mtime,
            ctime: stat.ctime,
            atime: self.options.with_atime.then_some(stat.atime),
            inode: stat.inode,
            nlink: stat.nlink,
            size: if stat.kind == FileKind::File { stat.size } else { 0 },
            device: stat.kind.is_device().then_some((stat.rdev_major, stat.rdev_minor)),
            ..Entry::new(walked.path.clone(), stat.kind)
        };
        if stat.nlink > 1 && stat.kind != FileKind::Dir {
            let this = FirstName { path: entry.path.clone(), size: stat.size, mtime: stat.mtime };
            match self.links.entry((stat.dev, stat.inode)) {
                hash_map::Entry::Vacant(vacant) => _ = vacant.insert(this),
                hash_map::Entry::Occupied(mut first) => {
                    if first.get().size == stat.size && first.get().mtime == stat.mtime {
                        entry.link_to = Some(first.get().path.clone());
                    } else {
                        // Written to since, or another file that was given the number: it is
                        // stored by itself.
                        first.insert(this);
                    }
                }
            }
        }
        let is_first = entry.link_to.is_none();
        let bytes = if is_first { entry.size } else { 0 };
        self.runtime.progress.expect(1, bytes);
        let known = before.is_some();
        let before = before.filter(|before| self.is_unchanged(before, &entry));
        match before {
            Some(before) => {
                entry.xattrs = before.xattrs.clone();
                entry.inode_flags = before.inode_flags;
                if is_first && before.link_to.is_none() {
                    entry.sparse = before.sparse;
                    entry.content = before.content;
                    self.push(Task::Keep { entry, walked }, 0);
                    return;
                }
                if !is_first {
                    self.push(Task::Link { entry, walked: None, known }, 0);
                    return;
                }
                // It was a further name before and is the first now: its content is read.
                self.read(entry, walked, known);
            }
            None if is_first => self.read(entry, walked, known),
            None => self.push(Task::Link { entry, walked: Some(walked), known }, 0),
        }
    }

    fn is_unchanged(&self, before: &Entry, now: &Entry) -> bool {
        let ctime_ok = self.options.ignore_ctime || before.ctime == now.ctime;
        let inode_ok = self.options.ignore_inode || before.inode == now.inode;
        before.kind == now.kind
            && before.size == now.size
            && before.mtime == now.mtime
            && ctime_ok
            && inode_ok
            && !before.torn
            && before.device == now.device
            && !self.parent.is_racy(now.mtime)
            && (self.options.ignore_ctime || !self.parent.is_racy(now.ctime))
    }

    fn read(&mut self, entry: Entry, walked: WalkEntry, known: bool) {
        if entry.kind == FileKind::File && entry.size > self.slice_len {
            // A large file is shared by all workers.
            self.send_batch();
            let slices = entry.size.div_ceil(self.slice_len);
            let seq = self.next_seq();
            let file = Arc::new(SlicedFile::new(seq, entry, walked, known, slices));
            for slice in 0..slices {
                if self.control.is_stopped() {
                    return;
                }
                let _ = self.jobs.send(Job::Slice(Arc::clone(&file), slice));
            }
            return;
        }
        let bytes = entry.size;
        self.push(Task::Read { entry, walked, known }, bytes);
    }

    fn push(&mut self, task: Task, bytes: u64) {
        self.batch.push(task);
        self.batch_bytes += bytes;
        if self.batch.len() >= BATCH_ENTRIES || self.batch_bytes >= BATCH_BYTES {
            self.send_batch();
        }
    }

    fn send_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let tasks = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_ENTRIES));
        self.batch_bytes = 0;
        let seq = self.next_seq();
        // Fails only when all workers are gone, and they say why themselves.
        let _ = self.jobs.send(Job::Batch { seq, tasks });
    }

    fn next_seq(&mut self) -> u64 {
        let seq = self.seq;
        self.seq += 1;
        self.control.wait_for_window(seq);
        seq
    }
}

/// The first name of a file that has several, and what the file was like then.
struct FirstName {
    path: Vec<u8>,
    size: u64,
    mtime: Time,
}

/// Owners by number, each made once.
struct Owners {
    names: OwnerNames,
    known: HashMap<(u32, u32), Arc<Owner>>,
    last: Option<Arc<Owner>>,
}

impl Owners {
    fn load() -> Self {
        Self { names: OwnerNames::load(), known: HashMap::new(), last: None }
    }

    fn get(&mut self, uid: u32, gid: u32) -> Arc<Owner> {
        if let Some(last) = self.last.as_ref().filter(|o| o.uid == uid && o.gid == gid) {
            return Arc::clone(last);
        }
        let names = &self.names;
        let bytes = |name: Option<&Arc<str>>| name.map(|n| n.as_bytes().to_vec());
        let owner = self.known.entry((uid, gid)).or_insert_with(|| {
            Arc::new(Owner {
                uid,
                gid,
                user: bytes(names.user(uid)).unwrap_or_default(),
                group: bytes(names.group(gid)).unwrap_or_default(),
            })
        });
        self.last = Some(Arc::clone(owner));
        Arc::clone(owner)
    }
}
