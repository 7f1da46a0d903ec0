//! Nodes in a snapshot.

use std::sync::Arc;

use super::node::Local;
use super::trees::Tree;
use super::trouble::gone;
use super::{Attributes, NodeId, View};
use crate::error::{Error, Result};
use crate::model::entry::{is_valid_path, is_within};
use crate::model::{FileKind, escape_bytes};
use crate::tree::{NumberedEntries, NumberedEntry, PageSource};

/// A node in a snapshot.
pub(super) struct Inside {
    pub(super) tree: Arc<Tree>,
    pub(super) tree_number: u32,
    pub(super) path: Vec<u8>,
    /// None for a root that is no entry, and for a folder whose entry is lost.
    pub(super) entry: Option<NumberedEntry>,
}

impl Inside {
    pub(super) fn kind(&self) -> FileKind {
        self.entry.as_ref().map_or(FileKind::Dir, |entry| entry.kind)
    }

    /// The path as people name it.
    pub(super) fn shown(&self) -> String {
        self.tree.shown(&self.path)
    }
}

impl Tree {
    pub(super) fn shown(&self, path: &[u8]) -> String {
        format!("{}:/{}", self.id.short(), escape_bytes(path))
    }
}

impl View {
    pub(super) fn pages(&self) -> PageSource<'_> {
        PageSource { repository: &self.repository, cache: &self.cache }
    }

    fn tree_of(&self, node: NodeId) -> Result<Arc<Tree>> {
        self.trees.get(node.tree()).ok_or_else(|| gone(node))
    }

    /// What a number in a snapshot stands for.
    ///
    /// # Errors
    /// If it stands for nothing, or its page cannot be read.
    pub(super) fn inside(&self, node: NodeId) -> Result<Inside> {
        let tree = self.tree_of(node)?;
        let local = Local::from_bits(node.local_bits()).ok_or_else(|| gone(node))?;
        let manifest = tree.manifest;
        let entry = |number| {
            self.freshness
                .reading(|| manifest.numbered(self.pages(), number))
                .inspect_err(|error| self.say(&tree.shown(b""), error))?
                .ok_or_else(|| gone(node))
        };
        let (path, entry) = match local {
            Local::Root if tree.has_root => {
                (Vec::new(), self.freshness.reading(|| manifest.find_numbered(self.pages(), b""))?)
            }
            Local::Root => (Vec::new(), None),
            Local::Entry(number) => {
                let entry = entry(number)?;
                (entry.path.clone(), Some(entry))
            }
            Local::Above(number, up) => {
                let below = entry(number)?;
                let folder = above(&below.path, up).ok_or_else(|| gone(node))?;
                (folder.to_vec(), None)
            }
        };
        Ok(Inside { tree, tree_number: node.tree(), path, entry })
    }

    pub(super) fn inside_attributes(&self, node: NodeId) -> Result<Attributes> {
        let inside = self.inside(node)?;
        Ok(match &inside.entry {
            Some(entry) => Attributes::of(node, entry, &self.owners),
            None => self.attributes_without_entry(node, &inside.tree),
        })
    }

    /// Those of the root, and of folders whose entry is lost.
    pub(super) fn attributes_without_entry(&self, node: NodeId, tree: &Tree) -> Attributes {
        let folder = Attributes::of_folder(node, tree.time, &self.owners);
        Attributes { lasting: true, ..folder }
    }

    pub(super) fn lookup_inside(&self, folder: NodeId, name: &[u8]) -> Result<Option<Attributes>> {
        let inside = self.inside(folder)?;
        let mut path = inside.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let is_name = !name.contains(&b'/') && !name.is_empty();
        if inside.kind() != FileKind::Dir || !is_name || !is_valid_path(&path) {
            return Ok(None);
        }
        self.find_path(&inside.tree, inside.tree_number, &path)
    }

    /// The node of a path in a snapshot.
    ///
    /// # Errors
    /// If it may be in a page that cannot be read.
    pub(super) fn find_path(
        &self,
        tree: &Tree,
        tree_number: u32,
        path: &[u8],
    ) -> Result<Option<Attributes>> {
        let found = self.freshness.reading(|| {
            let mut walk = NumberedEntries::from_path(tree.manifest, path);
            let error = match walk.next(self.pages()) {
                None => return Ok(None),
                Some(Ok(entry)) if !is_within(&entry.path, path) => return Ok(None),
                Some(Ok(entry)) => return Ok(Some(entry)),
                Some(Err(error)) => error,
            };
            // If what comes after a lost page lies in this folder, the folder is there.
            match walk.next(self.pages()) {
                Some(Ok(entry)) if error.is_damage() && is_within(&entry.path, path) => {
                    Ok(Some(entry))
                }
                _ => Err(error),
            }
        });
        let entry = match found.inspect_err(|error| self.say(&tree.shown(path), error))? {
            None => return Ok(None),
            Some(entry) => entry,
        };
        match components_below(&entry.path, path) {
            0 => self.entry_attributes(tree, tree_number, &entry).map(Some),
            up => {
                let node = NodeId::in_tree(tree_number, Local::Above(entry.number(), up))?;
                Ok(Some(self.attributes_without_entry(node, tree)))
            }
        }
    }

    /// The attributes of an entry; of a hard link those of the first of its group, which all its
    /// names share.
    pub(super) fn entry_attributes(
        &self,
        tree: &Tree,
        tree_number: u32,
        entry: &NumberedEntry,
    ) -> Result<Attributes> {
        let first = match &entry.link_to {
            None => None,
            Some(first) => self.first_of_group(tree, entry, first)?,
        };
        let entry = first.as_ref().unwrap_or(entry);
        let node = NodeId::in_tree(tree_number, Local::Entry(entry.number()))?;
        Ok(Attributes::of(node, entry, &self.owners))
    }

    /// The entry that has the content of a hard link; `None` if it is lost, or is none.
    fn first_of_group(
        &self,
        tree: &Tree,
        entry: &NumberedEntry,
        first: &[u8],
    ) -> Result<Option<NumberedEntry>> {
        let found = self.freshness.reading(|| tree.manifest.find_numbered(self.pages(), first));
        match found {
            Ok(found) => Ok(found.filter(|f| f.kind == entry.kind && f.link_to.is_none())),
            Err(error) if error.is_damage() => {
                self.say(&tree.shown(first), &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The entry of a node that has content, with the manifest that it is in.
    ///
    /// # Errors
    /// If it is no regular file, or a hard link whose content is lost; and what reading its page
    /// fails with.
    pub(super) fn file_entry(&self, node: NodeId) -> Result<Inside> {
        let inside = self.inside(node)?;
        match &inside.entry {
            Some(entry) if entry.kind == FileKind::File && entry.link_to.is_none() => Ok(inside),
            Some(entry) if entry.kind == FileKind::File => {
                let what = "it is a hard link to a file that is not there";
                let error = Error::damaged(inside.shown(), what);
                self.say(&inside.shown(), &error);
                Err(error)
            }
            _ => Err(Error::usage(format!("`{}` is no file", inside.shown()))),
        }
    }
}

/// The folder so many components above a path, if it has so many.
pub(super) fn above(path: &[u8], up: u32) -> Option<&[u8]> {
    let mut folder = path;
    for _ in 0..up {
        let end = folder.iter().rposition(|byte| *byte == b'/')?;
        folder = &folder[..end];
    }
    Some(folder)
}

/// How many components `path` has below `folder`, which it lies in.
pub(super) fn components_below(path: &[u8], folder: &[u8]) -> u32 {
    let rest = &path[folder.len()..];
    let slashes = rest.iter().filter(|byte| **byte == b'/').count();
    u32::try_from(slashes).unwrap_or(u32::MAX)
}
