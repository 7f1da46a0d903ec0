//! The sources of a walk, and the tree of directories that lead to them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

/// A file or folder to walk, as an absolute path without `.` and `..`.
///
/// `..` is resolved by the text, as a shell shows it: `link/../x` is `x`. A symbolic link is
/// taken itself, unless the path ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePath {
    path: Vec<u8>,
    follow: bool,
}

impl SourcePath {
    /// Reads a path as a user gave it; one that is not absolute begins at the current folder.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty path or one with a NUL, [`Error::Local`] if there is no
    /// current folder.
    pub fn new(path: &Path) -> Result<Self> {
        if path.is_absolute() {
            return Self::relative_to(path, Path::new("/"));
        }
        let current = std::env::current_dir()
            .map_err(|error| Error::local("find", "current folder", error))?;
        Self::relative_to(path, &current)
    }

    /// Reads a path that begins at the folder `base` if it is not absolute.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty path or one with a NUL.
    pub fn relative_to(path: &Path, base: &Path) -> Result<Self> {
        let given = path.as_os_str().as_bytes();
        if given.is_empty() || given.contains(&0) {
            return Err(Error::usage(format!("`{}` is not a path", path.display())));
        }
        let mut components: Vec<&[u8]> = Vec::new();
        let base = if path.is_absolute() { &[][..] } else { base.as_os_str().as_bytes() };
        for part in base.split(|byte| *byte == b'/').chain(given.split(|byte| *byte == b'/')) {
            match part {
                b"" | b"." => {}
                b".." => {
                    components.pop();
                }
                name => components.push(name),
            }
        }
        let last = given.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let follow = matches!(last, b"" | b"." | b"..");
        Ok(Self { path: components.join(&b'/'), follow })
    }

    /// The path in the manifest: without a `/` in front; empty for the root.
    pub fn manifest_path(&self) -> &[u8] {
        &self.path
    }

    /// The absolute path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec([b"/", &self.path[..]].concat()))
    }

    /// Whether a symbolic link is followed.
    pub fn follows_link(&self) -> bool {
        self.follow
    }

    pub(super) fn exists(&self) -> bool {
        let path = self.to_path();
        let result = if self.follow { path.metadata() } else { path.symlink_metadata() };
        // What cannot be looked at may well exist; the walk will say why.
        !matches!(result, Err(error) if matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
        ))
    }
}

/// A directory on the way to sources, or a source.
#[derive(Debug, Default)]
pub(super) struct RootNode {
    /// Whether it is a source itself, so that all that is in it is taken.
    pub(super) source: bool,
    /// Whether the user asked to follow it if it is a symbolic link.
    pub(super) follow: bool,
    pub(super) children: BTreeMap<Box<[u8]>, Arc<RootNode>>,
}

/// Joins the sources to one tree, so that each path is walked once.
pub(super) fn root_tree(sources: &[SourcePath]) -> Arc<RootNode> {
    #[derive(Default)]
    struct Draft {
        source: bool,
        follow: bool,
        children: BTreeMap<Box<[u8]>, Draft>,
    }
    fn finish(draft: Draft) -> Arc<RootNode> {
        let children: BTreeMap<_, _> =
            draft.children.into_iter().map(|(name, child)| (name, finish(child))).collect();
        Arc::new(RootNode { source: draft.source, follow: draft.follow, children })
    }
    let mut root = Draft::default();
    for source in sources {
        let mut node = &mut root;
        for name in source.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            node = node.children.entry(name.into()).or_default();
        }
        node.source = true;
        node.follow |= source.follow;
    }
    finish(root)
}
