//! A tree to the last attribute: what a rollback has to bring back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::error::Result;
use larder::fsmeta;
use larder::repository::{Repository, Snapshot};
use larder::restore::transaction::{Hook, InPlaceOptions, InPlaceReport, restore_in_place};
use larder::runtime::Runtime;

use crate::support::{Lab, Node, TreeCopy};

/// Everything but change times: what [`TreeCopy`] compares, and inode numbers, flags and blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    tree: TreeCopy,
    inodes: BTreeMap<PathBuf, (u64, u64, u32)>,
}

impl Exact {
    pub(crate) fn of(folder: &Path) -> Self {
        let mut inodes = BTreeMap::new();
        read(folder, folder, &mut inodes);
        Self { tree: TreeCopy::of_folder(folder), inodes }
    }

    /// One entry of the tree.
    pub(crate) fn node(&self, path: &[u8]) -> Option<&Node> {
        self.tree.get(path)
    }

    /// Whether the folder is this tree.
    pub(crate) fn is(&self, folder: &Path) -> bool {
        *self == Self::of(folder)
    }

    #[track_caller]
    pub(crate) fn assert_same(&self, folder: &Path, what: impl std::fmt::Display) {
        let now = Self::of(folder);
        self.tree.assert_same(&now.tree, &what);
        for (path, before) in &self.inodes {
            assert_eq!(
                Some(before),
                now.inodes.get(path),
                "{what}: inode, links, flags of {path:?}"
            );
        }
    }
}

fn read(root: &Path, path: &Path, inodes: &mut BTreeMap<PathBuf, (u64, u64, u32)>) {
    let found = path.symlink_metadata().expect("looks");
    let mut flags = 0;
    if found.is_dir() || found.is_file() {
        let open = fs::File::open(path).expect("opens");
        flags = fsmeta::read_flags(&open).unwrap_or(0);
    }
    let below = path.strip_prefix(root).expect("below").to_path_buf();
    let links = if found.is_dir() { 0 } else { found.nlink() };
    inodes.insert(below, (found.ino(), links, flags));
    if found.is_dir() {
        for entry in fs::read_dir(path).expect("lists").flatten() {
            read(root, &entry.path(), inodes);
        }
    }
}

/// No staging folder is anywhere, and nothing is remembered of one.
#[track_caller]
pub(crate) fn assert_clean(folder: &Path, state: Option<&Path>) {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("lists").flatten() {
            let name = entry.file_name();
            assert!(!name.as_bytes().starts_with(b".larder-in-place"), "{:?}", entry.path());
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
            }
        }
    }
    if let Some(left) = state.and_then(|state| fs::read_dir(state.join("in-place")).ok()) {
        assert_eq!(left.count(), 0, "the registry is empty");
    }
}

/// What a test of this module starts with: a tree that was backed up and edited since.
pub(crate) struct Case {
    pub(crate) lab: Lab,
    pub(crate) repository: Repository,
    pub(crate) snapshot: Snapshot,
    /// The tree as it was backed up.
    pub(crate) stored: TreeCopy,
    pub(crate) state: PathBuf,
}

impl Case {
    /// Backs up the tree of `lab`, after which `edit` changes it.
    pub(crate) fn new(lab: Lab, edit: impl FnOnce(&Path)) -> Self {
        let snapshot = lab.backup().snapshot.expect("a snapshot");
        let stored = TreeCopy::of_folder(&lab.source());
        edit(&lab.source());
        let (repository, state) = (lab.open(), lab.scratch("in-place-state"));
        Self { lab, repository, snapshot, stored, state }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.lab.source()
    }

    pub(crate) fn options(&self) -> InPlaceOptions {
        InPlaceOptions {
            delete: true,
            state_dir: Some(self.state.clone()),
            ..InPlaceOptions::default()
        }
    }

    pub(crate) fn restore(&self, options: &InPlaceOptions) -> Result<InPlaceReport> {
        restore_in_place(&self.repository, &self.snapshot, options, &Runtime::default())
    }

    #[track_caller]
    pub(crate) fn assert_restored(&self, what: impl std::fmt::Display) {
        self.stored.assert_same(&TreeCopy::of_folder(&self.source()), what);
        assert_clean(&self.source(), Some(&self.state));
    }
}

/// A hook that counts the steps, and fails at step `fail_at`, once.
pub(crate) fn failing(fail_at: u64) -> (Hook, Arc<AtomicU64>) {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    let hook = Hook::new(move |_, _| match counter.fetch_add(1, Ordering::Relaxed) {
        number if number == fail_at => Err(std::io::Error::other("a made-up error")),
        _ => Ok(()),
    });
    (hook, steps)
}

/// Sets or clears a flag, where that is permitted.
pub(crate) fn set_flags(path: &Path, change: &str) {
    let _ = std::process::Command::new("chattr").arg(change).arg(path).output();
}
