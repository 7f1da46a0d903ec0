//! Listing a folder, page by page.

use std::sync::Arc;
use std::time::Instant;

use super::inside::{Inside, above, components_below};
use super::node::Local;
use super::top::TopFolder;
use super::trees::Tree;
use super::trouble::gone;
use super::{Attributes, NodeId, View};
use crate::error::{Error, Result};
use crate::model::FileKind;
use crate::model::entry::is_within;
use crate::tree::{NumberedEntries, NumberedEntry};

/// A folder that is being listed. Holds a page or two, however large the folder is.
pub struct OpenFolder(Kind);

enum Kind {
    Top(TopFolder),
    Inside(Box<InsideFolder>),
}

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderItem {
    /// Its name, any bytes but `/` and 0.
    pub name: Vec<u8>,
    /// As [`View::lookup`] would give them. Of the root of a snapshot they are those of any folder
    /// that the view makes, so that nothing of the snapshot has to be read.
    pub attributes: Attributes,
    /// Where the listing goes on after it: from 1 to 2^62. Another [`OpenFolder`] of the same
    /// folder knows it too.
    pub cursor: u64,
}

struct InsideFolder {
    tree: Arc<Tree>,
    tree_number: u32,
    path: Vec<u8>,
    /// A walk that goes on after this cursor.
    walk: Option<(u64, NumberedEntries)>,
    /// Why some of what is in it may be missing, if the listing met that.
    lost: Option<String>,
    /// The cursor after which nothing came.
    ended_at: Option<u64>,
}

impl OpenFolder {
    pub(super) fn top(folder: TopFolder) -> Self {
        Self(Kind::Top(folder))
    }

    pub(super) fn inside(inside: Inside) -> Result<Self> {
        if inside.kind() != FileKind::Dir {
            return Err(Error::usage(format!("`{}` is no folder", inside.shown())));
        }
        let Inside { tree, tree_number, path, .. } = inside;
        let folder =
            InsideFolder { tree, tree_number, path, walk: None, lost: None, ended_at: None };
        Ok(Self(Kind::Inside(Box::new(folder))))
    }

    /// The item after the cursor `from`, 0 for the first; `None` at the end. Items come in an order
    /// of their own, `.` and `..` are not among them.
    ///
    /// # Errors
    /// Outages at once: the same call may succeed later. Damage, if some of the items may be lost,
    /// in the place of the end, however often somebody asks there: a listing that ended well would
    /// be taken for the whole folder. All others were given before.
    pub fn next(&mut self, view: &View, from: u64) -> Result<Option<FolderItem>> {
        match &mut self.0 {
            Kind::Top(folder) => folder.next(view, from),
            Kind::Inside(folder) => folder.next(view, from),
        }
    }
}

impl InsideFolder {
    fn next(&mut self, view: &View, from: u64) -> Result<Option<FolderItem>> {
        if self.ended_at == Some(from) {
            return self.end(from);
        }
        if from == 0 {
            // What was lost may have been healed.
            self.lost = None;
        }
        view.freshness.load_if_stale();
        let mut started = Instant::now();
        loop {
            let mut walk = match self.walk.take() {
                Some((cursor, walk)) if cursor == from => walk,
                _ => self.walk_after(view, from)?,
            };
            let Some(entry) = walk.next(view.pages()) else { return self.end(from) };
            match entry {
                Ok(entry) if !is_within(&entry.path, &self.path) => return self.end(from),
                Ok(entry) => match self.item(view, &entry)? {
                    Some(item) => {
                        walk.skip_to_after(self.path_of(&entry.path));
                        self.walk = Some((item.cursor, walk));
                        return Ok(Some(item));
                    }
                    None => self.walk = Some((from, walk)),
                },
                Err(error) if view.freshness.may_be_there_now(&error, started) => {
                    started = Instant::now();
                }
                Err(error) if error.is_damage() => {
                    view.say(&self.tree.shown(&self.path), &error);
                    self.lost = Some(error.in_full());
                    self.walk = Some((from, walk));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What was lost is said where a listing ends: a program that stops at an error has seen all
    /// else then.
    fn end(&mut self, from: u64) -> Result<Option<FolderItem>> {
        self.ended_at = Some(from);
        let damaged = |what| Err(Error::damaged(self.tree.shown(&self.path), what));
        self.lost.as_ref().map_or(Ok(None), damaged)
    }

    /// A walk that begins with what comes after the item with this cursor, which is made of its
    /// place in the manifest.
    fn walk_after(&self, view: &View, from: u64) -> Result<NumberedEntries> {
        let manifest = self.tree.manifest;
        let Some(local) = Local::from_bits(from).filter(|local| *local != Local::Root) else {
            return Ok(NumberedEntries::from_path(manifest, &self.path));
        };
        let (Local::Entry(number) | Local::Above(number, _)) = local else {
            return Err(gone(NodeId(from)));
        };
        view.freshness.reading(|| {
            let mut walk = NumberedEntries::from_number(view.pages(), manifest, number)?;
            if let Some(entry) = walk.next(view.pages()).transpose()? {
                walk.skip_to_after(self.path_of(&entry.path));
            }
            Ok(walk)
        })
    }

    /// The path of the item that an entry is, or lies in.
    fn path_of<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        if !is_within(path, &self.path) {
            return path;
        }
        above(path, components_below(path, &self.path).saturating_sub(self.own_slash()))
            .unwrap_or(path)
    }

    /// How many `/` stand between the folder and the names of its items.
    fn own_slash(&self) -> u32 {
        u32::from(!self.path.is_empty())
    }

    /// `None` for the folder itself.
    fn item(&self, view: &View, entry: &NumberedEntry) -> Result<Option<FolderItem>> {
        if entry.path == self.path {
            return Ok(None);
        }
        let path = self.path_of(&entry.path);
        let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
        let name = path[start..].to_vec();
        let up = components_below(&entry.path, path);
        let local = match up {
            0 => Local::Entry(entry.number()),
            // Its own entry is lost.
            up => Local::Above(entry.number(), up),
        };
        let attributes = match up {
            0 => view.entry_attributes(&self.tree, self.tree_number, entry)?,
            _ => {
                let node = NodeId::in_tree(self.tree_number, local)?;
                view.attributes_without_entry(node, &self.tree)
            }
        };
        Ok(Some(FolderItem { name, attributes, cursor: local.to_bits()? }))
    }
}
