//! The repository as one read-only tree of files, for whatever shows it: a mount, a WebDAV server.
//!
//! ```text
//! snapshots/2026-11-23T18:11:30Z/...     all snapshots by time
//! ids/4f1c.../...                        the same by id
//! hosts/web/2026-11-23T18:11:30Z/...     those of one host
//! tags/nightly/2026-11-23T18:11:30Z/...  those with one tag
//! latest -> snapshots/...                and `latest` in each folder of a host or tag
//! ```
//!
//! or one snapshot, or a folder of it. Nothing is read before somebody asks for it, and nothing is
//! kept but the list of snapshots and the pages used last ([`PageCache`]): a node is found by its
//! number in the manifest, so that there is no table of nodes, however many are looked at
//! ([`NodeId`]).
//!
//! Not here: what the kernel or HTTP wants to hear (`mount`), and how pages are read (`tree`).

mod ahead;
mod attributes;
mod chunks;
mod damaged;
mod file;
mod folder;
mod inside;
mod listing;
mod names;
mod node;
mod refresh;
mod space;
mod streams;
mod top;
mod trees;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

pub use attributes::Attributes;
pub use file::OpenFile;
pub use folder::{FolderItem, OpenFolder};
pub use node::NodeId;
pub use space::Space;
pub use trouble::is_gone;

use crate::error::{Error, Result};
use crate::model::{Content, FileKind, Time, Xattr};
use crate::repository::{Repository, Snapshot};
use crate::runtime::{Clock, SystemClock};
use crate::tree::{
    Manifest, PageCache, SnapshotFilter, load_xattrs, path_missing, roots, shown_path,
};
use ahead::Ahead;
use attributes::Owners;
use listing::Listing;
use node::Local;
use refresh::{Snapshots, Wanted};
use space::SpaceMemory;
use top::{Top, TopFolder};
use trees::{Tree, Trees};
use trouble::{Freshness, Said};

/// What a view shows, and how.
#[derive(Clone, Debug)]
pub struct ViewOptions {
    /// Which user and group own everything; `None` leaves that to the snapshots.
    pub owner: Option<(u32, u32)>,
    /// What is shown.
    pub show: Shown,
    /// How many bytes of decoded pages are kept.
    pub cache_bytes: usize,
    /// How many bytes of files are kept that were read ahead, about.
    pub read_ahead_bytes: usize,
    /// How old the list of snapshots may be.
    pub refresh: Duration,
    /// Names of times are without `:`, which names on Windows cannot have:
    /// `2026-11-23T18.11.30Z`.
    pub plain_times: bool,
}

impl Default for ViewOptions {
    fn default() -> Self {
        Self {
            owner: None,
            show: Shown::Everything(SnapshotFilter::default()),
            cache_bytes: 32 << 20,
            read_ahead_bytes: 64 << 20,
            refresh: Duration::from_secs(10),
            plain_times: false,
        }
    }
}

/// What a view shows.
#[derive(Clone, Debug)]
pub enum Shown {
    /// The snapshots that fit, in their folders.
    Everything(SnapshotFilter),
    /// What is in one folder of one snapshot.
    One {
        /// The snapshot.
        snapshot: Box<Snapshot>,
        /// The folder, as manifests have it; empty for the root.
        path: Vec<u8>,
    },
}

/// A repository as one read-only tree of files. For any number of threads.
pub struct View {
    repository: Arc<Repository>,
    owners: Owners,
    /// `None` if one snapshot alone is shown.
    snapshots: Option<Snapshots>,
    /// The node that is shown as the root, if one snapshot alone is shown.
    base: Option<NodeId>,
    trees: Trees,
    cache: PageCache,
    freshness: Arc<Freshness>,
    ahead: Arc<Ahead>,
    said: Arc<Said>,
    space: SpaceMemory,
    /// When it was made, the time of folders that are empty.
    opened: Time,
}

impl View {
    /// Opens a view of a repository whose index is loaded.
    ///
    /// # Errors
    /// [`Error::PathMissing`] if the path to be shown is not there, [`Error::Usage`] if it is no
    /// folder, and the storage's.
    pub fn new(repository: Arc<Repository>, options: ViewOptions) -> Result<Self> {
        let freshness = Arc::new(Freshness::new(&repository));
        let said = Arc::<Said>::default();
        let ahead = Ahead::new(&repository, &freshness, &said, options.read_ahead_bytes);
        let mut view = Self {
            owners: Owners::new(options.owner),
            snapshots: None,
            base: None,
            trees: Trees::default(),
            cache: PageCache::new(options.cache_bytes),
            ahead,
            said,
            space: SpaceMemory::default(),
            opened: now(),
            freshness: Arc::clone(&freshness),
            repository: Arc::clone(&repository),
        };
        match options.show {
            Shown::Everything(filter) => {
                let on_new = move || freshness.mark_stale();
                let (max_age, plain_times) = (options.refresh, options.plain_times);
                let wanted = Wanted { filter, max_age, plain_times };
                let snapshots = Snapshots::new(&repository, wanted, Box::new(on_new))?;
                view.snapshots = Some(snapshots);
            }
            Shown::One { snapshot, path } => view.base = Some(view.find_base(&snapshot, &path)?),
        }
        Ok(view)
    }

    /// The node of a folder of a snapshot.
    fn find_base(&self, snapshot: &Snapshot, path: &[u8]) -> Result<NodeId> {
        let tree = Tree {
            id: snapshot.id,
            manifest: Manifest::of(snapshot),
            time: names::time_of_ms(snapshot.time_ms()),
            has_root: roots(snapshot).iter().any(Vec::is_empty),
            place: 0,
        };
        let number = self.trees.number_of(&tree)?;
        if path.is_empty() {
            return NodeId::in_tree(number, Local::Root);
        }
        let name = shown_path(path);
        let found = self.find_path(&tree, number, path)?;
        let found = found.ok_or_else(|| path_missing(snapshot, path))?;
        if found.kind != FileKind::Dir {
            return Err(Error::usage_hint(
                format!("`{name}` is a {}, not a folder", found.kind.as_str()),
                "name the folder that it is in; `larder dump` writes a single file",
            ));
        }
        Ok(found.node)
    }

    /// What is known about a node.
    ///
    /// # Errors
    /// One that [`is_gone`] knows if there is no such node, or not any more; damage; the storage's.
    pub fn attributes(&self, node: NodeId) -> Result<Attributes> {
        match self.place_of(node)? {
            Place::Top(top) => {
                let listing = self.listing()?;
                self.top_attributes(top, &listing)
            }
            Place::Inside(inside) => Ok(Attributes { node, ..self.inside_attributes(inside)? }),
        }
    }

    /// What has this name in a folder.
    ///
    /// # Errors
    /// As [`View::attributes`].
    pub fn lookup(&self, folder: NodeId, name: &[u8]) -> Result<Option<Attributes>> {
        match self.place_of(folder)? {
            Place::Top(top) => self.lookup_top(top, name),
            Place::Inside(inside) => self.lookup_inside(inside, name),
        }
    }

    /// Begins to list a folder.
    ///
    /// # Errors
    /// As [`View::attributes`]; [`Error::Usage`] if it is no folder.
    pub fn open_folder(&self, folder: NodeId) -> Result<OpenFolder> {
        match self.place_of(folder)? {
            Place::Top(top) => Ok(OpenFolder::top(TopFolder::open(self, top)?)),
            Place::Inside(inside) => OpenFolder::inside(self.inside(inside)?),
        }
    }

    /// Where a symbolic link points to.
    ///
    /// # Errors
    /// As [`View::attributes`]; [`Error::Usage`] if it is no link.
    pub fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inside = match self.place_of(node)? {
            Place::Top(top) => return self.top_link(top),
            Place::Inside(inside) => self.inside(inside)?,
        };
        let entry = inside.entry.as_ref().filter(|entry| entry.kind == FileKind::Symlink);
        match entry.map(|entry| &entry.content) {
            Some(Content::Inline(target)) => Ok(target.clone()),
            Some(_) => Err(Error::damaged(inside.shown(), "it is a link without a target")),
            None => Err(Error::usage(format!("`{}` is no link", inside.shown()))),
        }
    }

    /// The extended attributes of a node, ACLs among them, as the kernel gives them.
    ///
    /// # Errors
    /// As [`View::attributes`].
    pub fn xattrs(&self, node: NodeId) -> Result<Arc<[Xattr]>> {
        let Place::Inside(node) = self.place_of(node)? else { return Ok(Arc::default()) };
        let inside = self.inside(node)?;
        let Some(entry) = &inside.entry else { return Ok(Arc::default()) };
        let found = self.freshness.reading(|| load_xattrs(&mut self.repository.reader(), entry));
        found.inspect_err(|error| self.say(&inside.shown(), error)).map(Arc::from)
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// As [`View::attributes`]; [`Error::Usage`] if it is no regular file.
    pub fn open_file(&self, node: NodeId) -> Result<OpenFile> {
        let inside = self.file_entry(node)?;
        match &inside.entry {
            Some(entry) => OpenFile::new(&self.ahead, entry, inside.shown()),
            None => Err(Error::usage(format!("`{}` is a folder", inside.shown()))),
        }
    }

    /// Whether open files hold as much of what was read ahead as they should.
    pub fn holds_much(&self) -> bool {
        self.ahead.source().is_full()
    }

    /// What the repository takes up.
    pub fn space(&self) -> Space {
        self.space.get(self)
    }

    /// The repository that it shows.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    fn place_of(&self, node: NodeId) -> Result<Place> {
        match self.base {
            Some(base) if node == NodeId::ROOT => return Ok(Place::Inside(base)),
            None if node.tree() == 0 => {
                return Top::from_node(node).map(Place::Top).ok_or_else(|| trouble::gone(node));
            }
            _ => {}
        }
        match node.tree() {
            0 => Err(trouble::gone(node)),
            _ => Ok(Place::Inside(node)),
        }
    }

    fn listing(&self) -> Result<Arc<Listing>> {
        let snapshots = self.snapshots.as_ref().ok_or_else(|| trouble::gone(NodeId::ROOT))?;
        Ok(snapshots.get())
    }
}

/// Where a node is.
enum Place {
    Top(Top),
    Inside(NodeId),
}

fn now() -> Time {
    names::time_of_ms(SystemClock.now_ms())
}

#[cfg(test)]
mod tests;
