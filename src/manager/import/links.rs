//! Hard links of an archive: which names share one file, and which of them has its content.
//!
//! A name in an archive may be given again, and a link means the file that had its target's name
//! at that moment. In a snapshot, the first name in the order of paths has the content.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::model::entry::compare_paths;
use crate::model::{Content, Entry, FileKind};

/// Bytes of names of links that are held in memory.
const NAMES_MAX: usize = 512 << 20;
/// What a link takes beside its names.
const LINK_BYTES: usize = 200;

/// A path, in the order of manifests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Path(pub(super) Vec<u8>);

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(&self.0, &other.0)
    }
}

/// The links of an archive, by their names.
#[derive(Default)]
pub(super) struct Links {
    by_name: BTreeMap<Path, Link>,
    bytes: usize,
}

struct Link {
    target: Vec<u8>,
    /// It means what had the target's name before this.
    before: u64,
}

impl Links {
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.by_name.keys().map(|path| &path.0)
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.by_name.contains_key(&Path(name.to_vec()))
    }

    /// The name belongs to something else from now on.
    pub(super) fn remove(&mut self, name: &[u8]) {
        if !self.is_empty() {
            self.by_name.remove(&Path(name.to_vec()));
        }
    }

    /// `name`, which comes as number `seq`, is another name of `target`. `false` if that is itself.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are more than fit into memory.
    pub(super) fn add(&mut self, name: Vec<u8>, target: Vec<u8>, seq: u64) -> Result<bool> {
        if name == target {
            return Ok(false);
        }
        // A link to a link means what that one means.
        let link = match self.by_name.get(&Path(target.clone())) {
            Some(link) if link.target == name => return Ok(false),
            Some(link) => Link { target: link.target.clone(), before: link.before },
            None => Link { target, before: seq },
        };
        self.bytes += name.len() + link.target.len() + LINK_BYTES;
        if self.bytes > NAMES_MAX {
            return Err(Error::usage_hint(
                "the archive has more hard links than fit into memory",
                "unpack it, and back up the folder",
            ));
        }
        self.by_name.insert(Path(name), link);
        Ok(true)
    }
}

/// What a name that shares a file becomes.
#[derive(Clone)]
pub(super) struct Shared {
    group: Rc<Group>,
    is_first: bool,
}

struct Group {
    entry: Entry,
    first: Vec<u8>,
    names: u64,
}

impl Shared {
    /// Its entry.
    pub(super) fn entry(&self, path: Vec<u8>) -> Entry {
        let Group { entry, first, names } = &*self.group;
        let nlink = *names;
        if self.is_first {
            return Entry { path, nlink, ..entry.clone() };
        }
        Entry {
            path,
            nlink,
            content: Content::None,
            sparse: false,
            link_to: Some(first.clone()),
            ..entry.clone()
        }
    }
}

/// Finds out what links mean, while all entries pass by in order.
pub(super) struct Resolver<'l> {
    links: &'l Links,
    /// The names of targets, and which of their versions somebody means.
    wanted: HashMap<&'l [u8], HashSet<u64>>,
    /// What was found: by target and version.
    found: HashMap<(&'l [u8], u64), Found>,
    blocked: HashSet<&'l [u8]>,
}

/// The links to one version of a target.
struct Names<'f> {
    found: &'f Found,
    links: Vec<Vec<u8>>,
}

struct Found {
    entry: Entry,
    /// The target still has its name in the end.
    is_there: bool,
}

/// What links mean.
pub(super) struct Resolved {
    /// Names that share a file.
    pub(super) shared: HashMap<Vec<u8>, Shared>,
    /// Links that lead nowhere, and why.
    pub(super) failed: Vec<(Vec<u8>, &'static str)>,
}

impl<'l> Resolver<'l> {
    pub(super) fn new(links: &'l Links) -> Self {
        let mut wanted: HashMap<&[u8], HashSet<u64>> = HashMap::new();
        for link in links.by_name.values() {
            wanted.entry(&link.target).or_default().insert(link.before);
        }
        Self { links, wanted, found: HashMap::new(), blocked: HashSet::new() }
    }

    /// Looks at all entries of one path, the oldest first. `is_blocked` if none of them can be in
    /// the snapshot.
    pub(super) fn see(&mut self, path: &[u8], versions: &[Entry], is_blocked: bool) {
        let is_link = self.links.by_name.get_key_value(&Path(path.to_vec()));
        if let (Some((name, _)), true) = (&is_link, is_blocked) {
            self.blocked.insert(&name.0);
        }
        let Some((target, befores)) = self.wanted.get_key_value(path) else { return };
        for before in befores {
            let Some(version) = versions.iter().rev().find(|entry| entry.inode < *before) else {
                continue;
            };
            let is_last = versions.last().is_some_and(|last| last.inode == version.inode);
            let is_there = is_last && is_link.is_none() && !is_blocked;
            let found = Found { entry: version.clone(), is_there };
            self.found.insert((*target, *before), found);
        }
    }

    /// All entries were seen.
    pub(super) fn finish(self) -> Resolved {
        let mut failed = Vec::new();
        // By target and the version that is meant.
        let mut groups: HashMap<(&[u8], u64), Names<'_>> = HashMap::new();
        for (name, link) in &self.links.by_name {
            let name = &name.0;
            if self.blocked.contains(name.as_slice()) {
                continue;
            }
            let Some(found) = self.found.get(&(link.target.as_slice(), link.before)) else {
                failed.push((name.clone(), "it is another name of what is not in the archive"));
                continue;
            };
            if found.entry.kind == FileKind::Dir {
                failed.push((name.clone(), "it is another name of a folder"));
                continue;
            }
            let key = (link.target.as_slice(), found.entry.inode);
            let names = groups.entry(key).or_insert(Names { found, links: Vec::new() });
            names.links.push(name.clone());
        }
        let mut shared = HashMap::new();
        for ((target, _), Names { found, links: mut names }) in groups {
            if found.is_there {
                names.push(target.to_vec());
            }
            let Some(first) = names.iter().min_by(|a, b| compare_paths(a, b)).cloned() else {
                continue;
            };
            let (entry, names_len) = (found.entry.clone(), names.len() as u64);
            let group = Rc::new(Group { entry, first, names: names_len });
            for name in names {
                let is_first = name == group.first;
                shared.insert(name, Shared { group: Rc::clone(&group), is_first });
            }
        }
        Resolved { shared, failed }
    }
}
