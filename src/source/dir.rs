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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The number of open descriptors stays bounded, and what was closed is reached nevertheless.
    #[test]
    fn directories_are_closed_and_opened_again() {
        const LEVELS: usize = 100;
        const LIMIT: usize = 8;
        let temp = tempfile::TempDir::new().unwrap();
        let deepest = (0..LEVELS).fold(temp.path().to_path_buf(), |path, _| path.join("d"));
        std::fs::create_dir_all(&deepest).unwrap();
        std::fs::write(deepest.join("file"), b"").unwrap();

        let pool = DirPool::new(LIMIT);
        let child = |parent: Arc<DirHandle>, name: &[u8]| DirHandle::child(&parent, name, false);
        let names = temp.path().canonicalize().unwrap();
        let names = names.strip_prefix(Path::new("/")).unwrap().to_str().unwrap().to_owned();
        let names = names.split('/').chain(std::iter::repeat_n("d", LEVELS));
        let mut chain = vec![DirHandle::root(&pool).unwrap()];
        for name in names {
            chain.push(child(chain[chain.len() - 1].clone(), name.as_bytes()));
            chain[chain.len() - 1].open_to_read().unwrap();
        }
        let open = |chain: &[Arc<DirHandle>]| {
            chain.iter().filter(|handle| handle.fd.lock().is_some()).count()
        };
        assert!(open(&chain) <= LIMIT + 1, "the root is always open");
        for handle in chain.iter().chain(chain.iter().rev()) {
            handle.fd().unwrap();
            assert!(open(&chain) <= LIMIT + 1);
        }
        let fd = chain[chain.len() - 1].fd().unwrap();
        assert!(fsmeta::stat_at(fd, b"file").is_ok());
    }
}
