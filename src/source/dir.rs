//! Directories that are held open while their entries are worked on.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::fsmeta::{self, OpenDir};

/// A directory of the walk, through which its entries are reached without resolving a path.
///
/// The number of descriptors is bounded: when too many are open the oldest are closed, and opened
/// again through the parent when somebody asks. So the depth of a tree and the length of a path
/// have no limit.
pub struct DirHandle {
    parent: Option<Arc<DirHandle>>,
    /// Name in the parent; for the root of all it is `/`.
    name: Box<[u8]>,
    follow: bool,
    fd: Mutex<Option<Arc<OwnedFd>>>,
    pool: Arc<DirPool>,
}

impl DirHandle {
    /// The root of the file system.
    pub(super) fn root(pool: &Arc<DirPool>) -> io::Result<Arc<Self>> {
        let fd = Arc::new(fsmeta::open_root()?);
        Ok(Arc::new(Self {
            parent: None,
            name: b"/".as_slice().into(),
            follow: false,
            fd: Mutex::new(Some(fd)),
            pool: pool.clone(),
        }))
    }

    /// The directory `name` of `parent`, not opened yet. `follow` says whether a symbolic link is
    /// followed to it.
    pub(super) fn child(parent: &Arc<Self>, name: &[u8], follow: bool) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(parent.clone()),
            name: name.into(),
            follow,
            fd: Mutex::default(),
            pool: parent.pool.clone(),
        })
    }

    /// Opens it to read its names, and keeps what was opened for those who ask with
    /// [`Self::fd`].
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open_to_read(self: &Arc<Self>) -> io::Result<Arc<OwnedFd>> {
        let Some(parent) = &self.parent else {
            return Ok(Arc::new(fsmeta::open_dir_at(rustix::fs::CWD, b"/", OpenDir::Read)?));
        };
        let parent = parent.fd()?;
        let fd = if self.follow {
            let path = fsmeta::open_dir_path_at(&parent, &self.name)?;
            fsmeta::open_dir_at(&path, b".", OpenDir::Read)?
        } else {
            fsmeta::open_dir_at(&parent, &self.name, OpenDir::Read)?
        };
        Ok(self.keep(fd))
    }

    /// The open directory, for calls relative to it. It may be open for nothing else than that.
    ///
    /// # Errors
    /// What the system says when it has to be opened again.
    pub fn fd(self: &Arc<Self>) -> io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &*self.fd.lock() {
            return Ok(fd.clone());
        }
        // Not recursive: trees can be deeper than a thread's stack.
        let mut closed = vec![self];
        let mut at = self;
        let mut fd = loop {
            let Some(parent) = &at.parent else {
                return Err(io::Error::other("the root directory is not open"));
            };
            if let Some(fd) = &*parent.fd.lock() {
                break fd.clone();
            }
            closed.push(parent);
            at = parent;
        };
        for handle in closed.into_iter().rev() {
            let opened = if handle.follow {
                fsmeta::open_dir_path_at(&fd, &handle.name)?
            } else {
                fsmeta::open_dir_at(&fd, &handle.name, OpenDir::Path)?
            };
            fd = handle.keep(opened);
        }
        Ok(fd)
    }

    fn keep(self: &Arc<Self>, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        *self.fd.lock() = Some(fd.clone());
        self.pool.opened(self);
        fd
    }
}

impl Drop for DirHandle {
    /// Drops the ancestors that nobody else holds one by one: trees can be deeper than a thread's
    /// stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(handle) = parent {
            parent = Arc::into_inner(handle).and_then(|mut handle| handle.parent.take());
        }
    }
}

/// Bounds the number of directories that are open at a time.
pub(super) struct DirPool {
    limit: usize,
    /// From the oldest to the newest. Handles that are gone closed their descriptor themselves.
    open: Mutex<VecDeque<Weak<DirHandle>>>,
}

impl DirPool {
    /// A pool of as many descriptors as the process can spare.
    pub(super) fn for_this_process() -> Arc<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self::new((limit / 4).clamp(16, 512))
    }

    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    fn opened(&self, handle: &Arc<DirHandle>) {
        let mut evicted = Vec::new();
        {
            let mut open = self.open.lock();
            open.push_back(Arc::downgrade(handle));
            if open.len() > self.limit {
                open.retain(|handle| handle.strong_count() > 0);
            }
            if open.len() > self.limit {
                // Some more than needed, so that not every call has to look for room.
                evicted.extend(open.drain(..self.limit.div_ceil(8)));
            }
        }
        for old in evicted {
            // Whoever works with the descriptor keeps it until done.
            if let Some(old) = old.upgrade() {
                *old.fd.lock() = None;
            }
        }
    }
}
