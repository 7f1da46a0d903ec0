//! The folders above the snapshots.

use std::sync::Arc;

use super::listing::{Group, Groups, KEY_BITS, Listed, Listing};
use super::node::Local;
use super::trees::Tree;
use super::trouble::gone;
use super::{Attributes, FolderItem, NodeId, View};
use crate::error::{Error, Result};
use crate::model::BackupId;

/// What is in the root, in this order.
const ROOT: [(Top, &str); 5] = [
    (Top::Snapshots, "snapshots"),
    (Top::Ids, "ids"),
    (Top::Hosts, "hosts"),
    (Top::Tags, "tags"),
    (Top::Latest, LATEST),
];
const LATEST: &str = "latest";

/// A node above the snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    Root,
    Snapshots,
    Ids,
    Hosts,
    Tags,
    /// The link to the newest snapshot.
    Latest,
    /// The folder of a host or tag, by its key.
    Group(By, u64),
    /// The link in it.
    LatestOf(By, u64),
}

/// What snapshots are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Host,
    Tag,
}

impl Top {
    pub(super) fn node(self) -> NodeId {
        NodeId::at_top(match self {
            Self::Root => NodeId::ROOT.0,
            Self::Snapshots => 2,
            Self::Ids => 3,
            Self::Hosts => 4,
            Self::Tags => 5,
            Self::Latest => 6,
            Self::Group(By::Host, key) => 1 << KEY_BITS | key,
            Self::Group(By::Tag, key) => 2 << KEY_BITS | key,
            Self::LatestOf(By::Host, key) => 3 << KEY_BITS | key,
            Self::LatestOf(By::Tag, key) => 4 << KEY_BITS | key,
        })
    }

    pub(super) fn from_node(node: NodeId) -> Option<Self> {
        let key = node.0 & ((1 << KEY_BITS) - 1);
        Some(match (node.0 >> KEY_BITS, key) {
            (0, 1) => Self::Root,
            (0, 2) => Self::Snapshots,
            (0, 3) => Self::Ids,
            (0, 4) => Self::Hosts,
            (0, 5) => Self::Tags,
            (0, 6) => Self::Latest,
            (1, key) => Self::Group(By::Host, key),
            (2, key) => Self::Group(By::Tag, key),
            (3, key) => Self::LatestOf(By::Host, key),
            (4, key) => Self::LatestOf(By::Tag, key),
            _ => return None,
        })
    }

    /// Which place it is for the trees in it: the same in every list.
    fn place(self) -> u64 {
        match self {
            Self::Group(..) => self.node().0,
            Self::Ids => 1,
            _ => 0,
        }
    }
}

impl Listing {
    fn groups(&self, by: By) -> &Groups {
        match by {
            By::Host => &self.hosts,
            By::Tag => &self.tags,
        }
    }

    /// The newest snapshot in a folder, if the folder is there.
    fn newest_in(&self, top: Top) -> Option<&Listed> {
        match top {
            Top::Group(by, key) | Top::LatestOf(by, key) => {
                self.get(*self.groups(by).with_key(key)?.members.last()?)
            }
            _ => self.newest(),
        }
    }
}

impl View {
    pub(super) fn top_attributes(&self, top: Top, listing: &Listing) -> Result<Attributes> {
        let newest = listing.newest_in(top);
        let node = top.node();
        match (top, newest) {
            (Top::Latest | Top::LatestOf(..), Some(newest)) => {
                let target = link_target(top, newest);
                Ok(Attributes::of_link(node, target.as_bytes(), newest.time, &self.owners))
            }
            (Top::Latest | Top::LatestOf(..) | Top::Group(..), None) => Err(gone(node)),
            _ => {
                let time = newest.map_or(self.opened, |newest| newest.time);
                Ok(Attributes::of_folder(node, time, &self.owners))
            }
        }
    }

    pub(super) fn top_link(&self, top: Top) -> Result<Vec<u8>> {
        let listing = self.listing()?;
        match (top, listing.newest_in(top)) {
            (Top::Latest | Top::LatestOf(..), Some(newest)) => {
                Ok(link_target(top, newest).into_bytes())
            }
            (Top::Latest | Top::LatestOf(..), None) => Err(gone(top.node())),
            _ => Err(Error::usage("a folder is no link")),
        }
    }

    pub(super) fn lookup_top(&self, top: Top, name: &[u8]) -> Result<Option<Attributes>> {
        let listing = self.listing()?;
        let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
        let below = match top {
            Top::Root => ROOT.iter().find(|(_, known)| *known == name).map(|(top, _)| *top),
            Top::Hosts => listing.hosts.named(name).map(|group| Top::Group(By::Host, group.key)),
            Top::Tags => listing.tags.named(name).map(|group| Top::Group(By::Tag, group.key)),
            Top::Group(by, key) if name == LATEST => Some(Top::LatestOf(by, key)),
            Top::Snapshots | Top::Ids | Top::Group(..) => {
                let found = self.find_snapshot(top, &listing, name);
                let node = found.map(|shown| self.tree_node(top, shown)).transpose()?;
                return node.map(|node| self.attributes(node)).transpose();
            }
            Top::Latest | Top::LatestOf(..) => None,
        };
        match below.map(|below| self.top_attributes(below, &listing)) {
            Some(Err(error)) if super::is_gone(&error) => Ok(None),
            found => found.transpose(),
        }
    }

    fn find_snapshot<'l>(&self, top: Top, listing: &'l Listing, name: &str) -> Option<&'l Listed> {
        let number = match top {
            Top::Ids => listing.with_id(BackupId::from_hex(name)?).filter(|number| {
                // One name for each: digits in lower case.
                listing.get(*number).is_some_and(|shown| shown.id.to_string() == name)
            }),
            Top::Group(by, key) => {
                let members = &listing.groups(by).with_key(key)?.members;
                listing.named(name).filter(|number| members.binary_search(number).is_ok())
            }
            _ => listing.named(name),
        };
        listing.get(number?)
    }

    /// The root folder of a snapshot, as it is in the folder `top`.
    fn tree_node(&self, top: Top, shown: &Listed) -> Result<NodeId> {
        let tree = Tree {
            id: shown.id,
            manifest: shown.manifest,
            time: shown.time,
            has_root: shown.has_root,
            place: top.place(),
        };
        NodeId::in_tree(self.trees.number_of(&tree)?, Local::Root)
    }
}

/// A link to a snapshot, from where the link is.
fn link_target(top: Top, newest: &Listed) -> String {
    match top {
        Top::Latest => format!("snapshots/{}", newest.name),
        _ => newest.name.clone(),
    }
}

/// Items of a folder above the snapshots, as they were when it was opened.
pub(super) struct TopFolder {
    top: Top,
    listing: Arc<Listing>,
}

impl TopFolder {
    pub(super) fn open(view: &View, top: Top) -> Result<Self> {
        let listing = view.listing()?;
        view.top_attributes(top, &listing)?;
        match top {
            Top::Latest | Top::LatestOf(..) => Err(Error::usage("a link is no folder")),
            _ => Ok(Self { top, listing }),
        }
    }

    /// The first item whose cursor is greater than `from`.
    pub(super) fn next(&self, view: &View, from: u64) -> Result<Option<FolderItem>> {
        match self.top {
            Top::Root => self.next_in_root(view, from),
            Top::Hosts => self.next_group(view, By::Host, from),
            Top::Tags => self.next_group(view, By::Tag, from),
            Top::Ids => self.next_id(view, from),
            Top::Group(by, key) if from == 0 => {
                let latest = Top::LatestOf(by, key);
                let attributes = view.top_attributes(latest, &self.listing)?;
                Ok(Some(FolderItem { name: LATEST.into(), attributes, cursor: 1 }))
            }
            Top::Group(by, key) => match self.listing.groups(by).with_key(key) {
                Some(group) => self.next_by_time(view, &group.members, from),
                None => Ok(None),
            },
            _ => {
                let all = &self.listing.all;
                self.item_by_time(view, all.get(all.partition_point(|s| s.cursor <= from)))
            }
        }
    }

    fn next_in_root(&self, view: &View, from: u64) -> Result<Option<FolderItem>> {
        for (cursor, (top, name)) in (1..).zip(ROOT).filter(|(cursor, _)| *cursor > from) {
            match view.top_attributes(top, &self.listing) {
                Err(error) if super::is_gone(&error) => {}
                found => {
                    let item = |attributes| FolderItem { name: name.into(), attributes, cursor };
                    return found.map(item).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_group(&self, view: &View, by: By, from: u64) -> Result<Option<FolderItem>> {
        let Some(Group { name, key, .. }) = self.listing.groups(by).at_or_after(from) else {
            return Ok(None);
        };
        let attributes = view.top_attributes(Top::Group(by, *key), &self.listing)?;
        Ok(Some(FolderItem { name: name.clone().into_bytes(), attributes, cursor: key + 1 }))
    }

    fn next_id(&self, view: &View, from: u64) -> Result<Option<FolderItem>> {
        let ids = &self.listing.by_id;
        let shown = |number: &u32| self.listing.get(*number);
        let at = ids.partition_point(|n| shown(n).is_some_and(|s| id_cursor(s.id) <= from));
        let Some(shown) = ids.get(at).and_then(shown) else { return Ok(None) };
        self.item(view, shown, shown.id.to_string(), id_cursor(shown.id)).map(Some)
    }

    fn next_by_time(&self, view: &View, members: &[u32], from: u64) -> Result<Option<FolderItem>> {
        let shown = |number: &u32| self.listing.get(*number);
        let at = members.partition_point(|number| shown(number).is_some_and(|s| s.cursor <= from));
        self.item_by_time(view, members.get(at).and_then(shown))
    }

    fn item_by_time(&self, view: &View, shown: Option<&Listed>) -> Result<Option<FolderItem>> {
        shown.map(|shown| self.item(view, shown, shown.name.clone(), shown.cursor)).transpose()
    }

    /// The folder of a snapshot. Nothing of the snapshot is read: that would be a page for each of
    /// them.
    fn item(&self, view: &View, shown: &Listed, name: String, cursor: u64) -> Result<FolderItem> {
        let node = view.tree_node(self.top, shown)?;
        let attributes = Attributes::of_folder(node, shown.time, &view.owners);
        Ok(FolderItem { name: name.into_bytes(), attributes, cursor })
    }
}

/// In the order of ids.
fn id_cursor(id: BackupId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 2) + 1
}
