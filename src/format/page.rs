//! Manifest pages: sorted entries, front-coded, and the pages above them (SPEC.md, section 11).

mod content;
mod entry;
mod xattrs;

use std::sync::Arc;

use super::record::{Bin, Few, decode, encode, record};
use crate::error::{Error, Result};
use crate::model::entry::{compare_paths, is_valid_path};
use crate::model::{Entry, Owner, PageId};
use entry::EntryRecord;

pub use xattrs::{decode_xattrs, encode_xattrs, inline_xattrs};

/// Most bytes of a page that a reader takes.
pub const PAGE_LEN_MAX: u32 = 16 << 20;

record! {
    /// An owner as stored.
    OwnerRecord {
        /// User number.
        uid: u32,
        /// Group number.
        gid: u32,
        /// User name.
        user: Bin,
        /// Group name.
        group: Bin,
    }
}

record! {
    /// A leaf as stored.
    LeafRecord, schema 1 {
        /// Always 0.
        level: u8,
        /// Owners in order of first use.
        owners: Few<OwnerRecord>,
        /// The entries.
        entries: Few<EntryRecord>,
    }
}

record! {
    /// One page below an inner page.
    Child {
        /// The last path in it.
        last: Bin,
        /// The page.
        page: PageId,
        /// Entries in it.
        entries: u64,
        /// Regular files in it.
        files: u64,
        /// Bytes of these files.
        bytes: u64,
    }
}

record! {
    /// An inner page as stored.
    InnerRecord, schema 1 {
        /// 1 and more.
        level: u8,
        /// The pages below, in order.
        children: Few<Child>,
    }
}

/// Encodes a leaf page. `entries` must be sorted and their paths valid.
pub fn encode_leaf(entries: &[Entry]) -> Vec<u8> {
    let mut owners: Vec<Arc<Owner>> = Vec::new();
    let mut records = Vec::with_capacity(entries.len());
    let mut before: Option<&Entry> = None;
    for entry in entries {
        let same = |o: &Arc<Owner>| Arc::ptr_eq(o, &entry.owner) || *o == entry.owner;
        let owner = owners.iter().position(same).unwrap_or_else(|| {
            owners.push(Arc::clone(&entry.owner));
            owners.len() - 1
        });
        records.push(EntryRecord::new(entry, before, owner as u32));
        before = Some(entry);
    }
    let owners = owners
        .iter()
        .map(|o| OwnerRecord {
            uid: o.uid,
            gid: o.gid,
            user: o.user.as_slice().into(),
            group: o.group.as_slice().into(),
        })
        .collect();
    encode(&LeafRecord { level: 0, owners: Few(owners), entries: Few(records) })
}

/// Reads a leaf page.
///
/// # Errors
/// [`Error::Damaged`], naming `name`, if it is no leaf, or its paths are invalid or out of order.
pub fn decode_leaf(bytes: &[u8], name: &str) -> Result<Vec<Entry>> {
    let leaf: LeafRecord = decode(bytes, name)?;
    let damaged = |what: &str| Error::damaged(name, what);
    if leaf.level != 0 {
        return Err(damaged("it is no leaf page"));
    }
    let owners: Vec<Arc<Owner>> = leaf
        .owners
        .0
        .into_iter()
        .map(|o| Arc::new(Owner { uid: o.uid, gid: o.gid, user: o.user.0, group: o.group.0 }))
        .collect();
    let mut entries: Vec<Entry> = Vec::with_capacity(leaf.entries.0.len());
    let mut path_bytes = 0;
    for record in leaf.entries.0 {
        let entry = record
            .into_entry(entries.last(), &owners)
            .ok_or_else(|| damaged("an entry is malformed"))?;
        // Front coding must not blow a small page up into gigabytes of paths.
        path_bytes += entry.path.len();
        if path_bytes > PAGE_LEN_MAX as usize {
            return Err(damaged("its paths are too long together"));
        }
        if !is_valid_path(&entry.path) {
            return Err(damaged("it has an invalid path"));
        }
        if entries.last().is_some_and(|last| compare_paths(&last.path, &entry.path).is_ge()) {
            return Err(damaged("its paths are out of order"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Encodes an inner page of `level` 1 and more.
pub fn encode_inner(level: u8, children: &[Child]) -> Vec<u8> {
    encode(&InnerRecord { level, children: Few(children.to_vec()) })
}

/// Reads an inner page of the given level.
///
/// # Errors
/// [`Error::Damaged`], naming `name`, if it is none, or its paths are invalid or out of order.
pub fn decode_inner(bytes: &[u8], level: u8, name: &str) -> Result<Vec<Child>> {
    let inner: InnerRecord = decode(bytes, name)?;
    let ordered = inner.children.0.is_sorted_by(|a, b| compare_paths(&a.last.0, &b.last.0).is_lt());
    if inner.level != level || level == 0 || inner.children.0.is_empty() || !ordered {
        return Err(Error::damaged(name, "it is no inner page of this level"));
    }
    Ok(inner.children.0)
}

/// The weight of an entry for the page cut rule.
pub fn entry_weight(entry: &Entry) -> usize {
    128 + entry.path.len() + entry::payload_weight(entry)
}

/// The weight of a child for the page cut rule.
pub fn child_weight(child: &Child) -> usize {
    64 + child.last.0.len()
}
