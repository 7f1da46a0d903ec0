//! One regular file on its way into the target: what is known of it, and what is still missing.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::attributes::Attributes;
use super::context::Context;
use super::links::{LeaderKey, LeaderState};
use super::target::Dir;
use crate::fsmeta::Stat;
use crate::model::Piece;

/// What is under a file's name before it is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing.
    New,
    /// Something that gives way once there is content to write.
    Replace,
    /// A file that keeps those parts that are right.
    InPlace,
}

/// Tells whether a name still leads to the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    dev: u64,
    inode: u64,
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self { dev: stat.dev, inode: stat.inode }
    }
}

/// A regular file that is restored. Shared by all who hold parts of it.
pub(super) struct FileTask {
    /// Tells files apart in caches.
    pub(super) id: u64,
    pub(super) dir: Arc<Dir>,
    pub(super) name: Box<[u8]>,
    pub(super) size: u64,
    pub(super) attributes: Attributes,
    pub(super) origin: Origin,
    /// Its content is one piece, so writing that gives it its length.
    pub(super) is_one_piece: bool,
    /// Its zeros become holes.
    pub(super) is_sparse: bool,
    /// It gets its name only when it is complete.
    pub(super) is_staged: bool,
    /// Its name is not that in the snapshot.
    pub(super) is_beside: bool,
    /// Other names may be linked to it.
    pub(super) leads: Option<LeaderKey>,
    /// Parts that are not done, and one for whoever still adds parts.
    pending: AtomicU64,
    failed: AtomicBool,
    touched: AtomicBool,
    pub(super) state: Mutex<FileState>,
}

#[derive(Default)]
pub(super) struct FileState {
    /// The file under the name; `None` until it is made.
    pub(super) identity: Option<Identity>,
    /// Parts without a good copy, and why there is none for the first.
    lost: Option<Box<(Vec<Range<u64>>, String)>>,
}

/// What a [`FileTask`] is made of.
pub(super) struct FileSpec {
    pub(super) id: u64,
    pub(super) dir: Arc<Dir>,
    pub(super) name: Box<[u8]>,
    pub(super) size: u64,
    pub(super) attributes: Attributes,
    pub(super) origin: Origin,
    pub(super) is_one_piece: bool,
    pub(super) is_sparse: bool,
    pub(super) is_staged: bool,
    pub(super) is_beside: bool,
    pub(super) leads: Option<LeaderKey>,
    pub(super) identity: Option<Identity>,
}

impl FileTask {
    /// The caller holds one part and must give it back with [`FileTask::release`].
    pub(super) fn new(spec: FileSpec) -> Arc<Self> {
        Arc::new(Self {
            id: spec.id,
            dir: spec.dir,
            name: spec.name,
            size: spec.size,
            attributes: spec.attributes,
            origin: spec.origin,
            is_one_piece: spec.is_one_piece,
            is_sparse: spec.is_sparse,
            is_staged: spec.is_staged,
            is_beside: spec.is_beside,
            leads: spec.leads,
            pending: AtomicU64::new(1),
            failed: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            state: Mutex::new(FileState { identity: spec.identity, ..FileState::default() }),
        })
    }

    /// Its path in the target.
    pub(super) fn path(&self) -> Vec<u8> {
        self.dir.join(&self.name)
    }

    /// The name that it has while it is written.
    pub(super) fn work_name(&self) -> Cow<'_, [u8]> {
        if !self.is_staged {
            return Cow::Borrowed(&self.name);
        }
        // The same in every run, so that the next one finds what an interrupted one left.
        let hash = blake3::hash(&self.name).to_hex();
        Cow::Owned([b".larder-restore-", &hash.as_bytes()[..16]].concat())
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + 48 + self.name.len() + self.attributes.weight()
    }

    /// Adds a part that has to be done.
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// A part is done. Returns whether it was the last: the caller finishes the file then.
    #[must_use]
    pub(super) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether the caller holds the only part that is left.
    pub(super) fn is_last_part(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 1
    }

    /// Says that something of it was written.
    pub(super) fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Whether something of it was written.
    pub(super) fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Whether it was reported as failed: no more work is done for it.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Reports it as failed, once.
    pub(super) fn fail(&self, ctx: &Context<'_>, action: &'static str, error: std::io::Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            ctx.leaders.set(self.leads, LeaderState::Missing);
            ctx.local_failure(action, &self.path(), error);
        }
    }

    /// Takes note of a part that no copy in the repository is good for.
    pub(super) fn lose(&self, part: Range<u64>, reason: impl ToString) {
        let mut state = self.state.lock();
        let lost = &mut state.lost.get_or_insert_with(|| (Vec::new(), reason.to_string()).into()).0;
        // A file of damaged parts only must not take all memory: parts come mostly in order.
        match lost.last_mut() {
            Some(last) if last.end == part.start => last.end = part.end,
            _ => lost.push(part),
        }
    }

    /// The parts that were lost, and why.
    pub(super) fn take_lost(&self) -> Option<(Vec<Range<u64>>, String)> {
        self.state.lock().lost.take().map(|lost| *lost)
    }
}

/// A chunk that a file needs.
pub(super) struct Part {
    pub(super) file: Arc<FileTask>,
    pub(super) offset: u64,
    pub(super) piece: Piece,
}

impl Part {
    /// The bytes of the file that it covers.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.piece.len())
    }
}
