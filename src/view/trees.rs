//! The numbers of trees: one for each snapshot in each folder that shows it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::node::TREES;
use crate::error::{Error, Result};
use crate::model::{BackupId, Time};
use crate::tree::Manifest;

/// A snapshot at one place of the view. A folder that two places show is two folders, as nowhere
/// else a folder has two names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) id: BackupId,
    pub(super) manifest: Manifest,
    /// When it was started.
    pub(super) time: Time,
    /// Whether the manifest may have an entry for the root.
    pub(super) has_root: bool,
    /// Which of the places it is.
    pub(super) place: u64,
}

/// The trees that somebody asked for. What was given a number keeps it, even if the snapshot is
/// forgotten meanwhile: programs may be in its folders.
#[derive(Default)]
pub(super) struct Trees(RwLock<HashMap<u32, Arc<Tree>>>);

impl Trees {
    pub(super) fn get(&self, number: u32) -> Option<Arc<Tree>> {
        self.0.read().get(&number).cloned()
    }

    /// The number of a tree. It comes from the ids, and only if two want the same one does it
    /// depend on which was asked for first.
    pub(super) fn number_of(&self, tree: &Tree) -> Result<u32> {
        let wanted = wanted(tree);
        let probes = || (0..TREES - 1).map(|step| (wanted - 1 + step) % (TREES - 1) + 1);
        let known = self.0.read();
        let found = probes().find(|number| known.get(number).is_none_or(|other| **other == *tree));
        match found {
            Some(number) if known.contains_key(&number) => return Ok(number),
            Some(_) => drop(known),
            None => {
                return Err(Error::Busy { what: "there are too many snapshots to show".into() });
            }
        }
        let mut known = self.0.write();
        for number in probes() {
            let other = known.entry(number).or_insert_with(|| Arc::new(tree.clone()));
            if **other == *tree {
                return Ok(number);
            }
        }
        Err(Error::Busy { what: "there are too many snapshots to show".into() })
    }
}

/// A number from 1 on.
fn wanted(tree: &Tree) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tree.id.as_bytes());
    hasher.update(&tree.place.to_le_bytes());
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    u32::from_le_bytes([a, b, c, d]) % (TREES - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PageId;

    fn tree(number: u64, place: u64) -> Tree {
        let id = blake3::hash(&number.to_le_bytes());
        let id = BackupId::from_slice(&id.as_bytes()[..16]).expect("an id");
        let manifest = Manifest::new(PageId([1; 32]), 0);
        Tree { id, manifest, time: Time::default(), has_root: false, place }
    }

    #[test]
    fn every_tree_has_a_number_of_its_own_that_stays() {
        let (trees, others) = (Trees::default(), Trees::default());
        let all: Vec<Tree> = (0..20_000).map(|number| tree(number, number % 4)).collect();
        let numbers: Vec<u32> =
            all.iter().map(|tree| trees.number_of(tree).expect("numbers")).collect();
        for (tree, number) in all.iter().zip(&numbers) {
            assert_eq!(trees.number_of(tree).expect("numbers"), *number);
            assert_eq!(trees.get(*number).as_deref(), Some(tree));
            assert!((1..TREES).contains(number));
        }
        let backwards = all.iter().zip(&numbers).rev();
        let differ =
            backwards.filter(|(tree, number)| others.number_of(tree).expect("numbers") != **number);
        assert!(differ.count() < 200, "only where two wanted the same");
    }
}
