//! From the entries of an archive to a manifest: the last of several with one name counts, folders
//! that are missing are made up, and nothing lies below what is no folder.

use std::iter::Peekable;
use std::sync::Arc;

use super::limits::Budget;
use super::links::{Links, Resolved, Resolver};
use super::sorter::Sorted;
use crate::error::Result;
use crate::model::entry::{compare_paths, is_within};
use crate::model::{Entry, FileKind};
use crate::tree::{ManifestRoot, ManifestWriter};

/// What came of it.
pub(super) struct Built {
    pub(super) root: ManifestRoot,
    /// Folders that were made up.
    pub(super) made_up: u64,
}

/// Writes all entries to `manifest`. What cannot be in it is told to `refused`, with the reason.
pub(super) fn build(
    sorted: &Sorted,
    links: &Links,
    mut manifest: ManifestWriter<'_>,
    budget: &Budget,
    refused: &mut dyn FnMut(Vec<u8>, &str),
) -> Result<Built> {
    let resolved = resolve(sorted, links)?;
    for (name, why) in &resolved.failed {
        refused(name.clone(), why);
    }
    let mut folders: Vec<Vec<u8>> = Vec::new();
    let mut made_up = 0;
    walk(sorted, links, &mut |path, mut versions, is_blocked| {
        let shared = resolved.shared.get(path);
        if is_blocked {
            refused(path.to_vec(), "it lies below something that is no folder");
            return Ok(());
        }
        let entry = match shared {
            Some(shared) => shared.entry(path.to_vec()),
            // A link that leads nowhere.
            None if links.contains(path) => return Ok(()),
            None => match versions.pop() {
                Some(entry) => entry,
                None => return Ok(()),
            },
        };
        while folders.pop_if(|folder| !is_within(path, folder)).is_some() {}
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for end in ends.skip(folders.iter().filter(|folder| !folder.is_empty()).count()) {
            let folder = path[..end].to_vec();
            budget.entry()?;
            made_up += 1;
            manifest.push(made_up_folder(folder.clone(), &entry))?;
            folders.push(folder);
        }
        if entry.kind == FileKind::Dir {
            folders.push(path.to_vec());
        }
        // The number only said when it came.
        manifest.push(Entry { inode: 0, ..entry })
    })?;
    Ok(Built { root: manifest.finish()?, made_up })
}

fn resolve(sorted: &Sorted, links: &Links) -> Result<Resolved> {
    let mut resolver = Resolver::new(links);
    if !links.is_empty() {
        walk(sorted, links, &mut |path, versions, is_blocked| {
            resolver.see(path, &versions, is_blocked);
            Ok(())
        })?;
    }
    Ok(resolver.finish())
}

/// Takes a path with all its entries, and whether it can be in the snapshot at all.
type Each<'e> = dyn FnMut(&[u8], Vec<Entry>, bool) -> Result<()> + 'e;

/// Hands out each path once, in order, with all its entries, the oldest first, and whether it lies
/// below something that is no folder. A path without entries is that of a link.
fn walk(sorted: &Sorted, links: &Links, each: &mut Each<'_>) -> Result<()> {
    let mut walk = Walk { names: links.names().peekable(), no_folder: None, each };
    let mut versions: Vec<Entry> = Vec::new();
    sorted.each(&mut |entry| {
        if versions.first().is_some_and(|first| first.path != entry.path) {
            walk.versions(std::mem::take(&mut versions))?;
        }
        versions.push(entry);
        Ok(())
    })?;
    if !versions.is_empty() {
        walk.versions(versions)?;
    }
    while let Some(name) = walk.names.next() {
        walk.path(name, Vec::new(), true)?;
    }
    Ok(())
}

struct Walk<'w, 'e, N: Iterator<Item = &'w Vec<u8>>> {
    names: Peekable<N>,
    /// The last path that is there and no folder.
    no_folder: Option<Vec<u8>>,
    each: &'e mut Each<'e>,
}

impl<'w, N: Iterator<Item = &'w Vec<u8>>> Walk<'w, '_, N> {
    fn versions(&mut self, versions: Vec<Entry>) -> Result<()> {
        let Some(path) = versions.first().map(|entry| entry.path.clone()) else { return Ok(()) };
        while let Some(name) = self.names.next_if(|name| compare_paths(name, &path).is_lt()) {
            self.path(name, Vec::new(), true)?;
        }
        let is_link = self.names.next_if(|name| **name == path).is_some();
        self.path(&path, versions, is_link)
    }

    fn path(&mut self, path: &[u8], versions: Vec<Entry>, is_link: bool) -> Result<()> {
        let is_blocked = self.no_folder.as_ref().is_some_and(|other| is_within(path, other));
        let is_folder = !is_link && versions.last().is_some_and(|last| last.kind == FileKind::Dir);
        if !is_blocked && !is_folder {
            self.no_folder = Some(path.to_vec());
        }
        (self.each)(path, versions, is_blocked)
    }
}

/// A folder that the archive has things in, but no entry for.
fn made_up_folder(path: Vec<u8>, inside: &Entry) -> Entry {
    Entry {
        mode: 0o755,
        owner: Arc::clone(&inside.owner),
        mtime: inside.mtime,
        ..Entry::new(path, FileKind::Dir)
    }
}
