//! Looks at what is left when everybody has gone home.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use larder::repository::{OpenOptions, Repository, Snapshot, Unlock};
use larder::runtime::{Clock, Random, Runtime};
use larder::storage::SharedStorage;
use larder::verify::{CheckOptions, ReadData, check};

use super::clients::{Client, Truth};
use super::world::{World, WorldClock};
use crate::support::TreeCopy;

/// A machine that has never seen the repository, and looks at it with nobody in the way.
pub(super) struct Judge<'a> {
    pub(super) world: &'a World,
    pub(super) truth: &'a Truth,
    pub(super) home: &'a Path,
    pub(super) clock: WorldClock,
}

impl Judge<'_> {
    pub(super) fn runtime(&self) -> Runtime {
        Runtime {
            clock: Arc::new(self.clock.clone()) as Arc<dyn Clock>,
            random: Random::seeded(1),
            ..Runtime::default()
        }
    }

    pub(super) fn open(&self) -> Repository {
        let storage: SharedStorage = self.world.memory.clone();
        let options = OpenOptions { cache_dir: None, state_dir: Some(self.home.join("judge")) };
        let repository = Repository::open(storage, &Unlock::Nothing, &options, &self.runtime());
        let repository = repository.expect("opens");
        let bad = repository.load_index().expect("loads the index");
        assert!(bad.is_empty(), "{bad:?}");
        repository
    }

    /// Everything that was finished and that nobody tried to forget is there; everything that can
    /// be seen and is not suspect holds what its client had.
    pub(super) fn assert_kept(&self, what: &str) {
        let repository = self.open();
        let list = repository.snapshots().expect("lists snapshots");
        assert!(list.bad.is_empty(), "{what}: {:?}", list.bad);
        let visible: BTreeSet<_> = list.snapshots.iter().map(|snapshot| snapshot.id).collect();
        for id in self.truth.reported.iter().filter(|id| self.truth.keeps(**id)) {
            assert!(visible.contains(id), "{what}: snapshot {id} was finished, and is gone");
        }
        for snapshot in &list.snapshots {
            // What was reported done is whole, whatever others think of it.
            if !snapshot.suspect || self.truth.keeps(snapshot.id) {
                self.assert_whole(&repository, snapshot, what);
            }
        }
    }

    fn assert_whole(&self, repository: &Repository, snapshot: &Snapshot, what: &str) {
        let number: usize = snapshot.host[4..].parse().expect("a host of ours");
        let tree = Client::tree(self.home, number);
        let read = TreeCopy::of_snapshot(repository, snapshot, &tree);
        let suspect = if snapshot.suspect { " (suspect)" } else { "" };
        let name = format!("snapshot {} of client {number}{suspect}", snapshot.id);
        let read = read.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        let origin = snapshot.body.original.unwrap_or(snapshot.id);
        let origin = self.truth.renewed.get(&snapshot.id).copied().unwrap_or(origin);
        match self.truth.trees.get(&origin) {
            Some(copy) => copy.assert_same(&read, format!("{what}: {name}")),
            None => {
                let tried = self.truth.tried.get(&number);
                let is_one = tried.is_some_and(|tried| tried.iter().any(|copy| **copy == read));
                assert!(is_one, "{what}: {name} holds what was never there");
            }
        }
    }

    /// Nothing is damaged that anybody needs.
    pub(super) fn assert_clean(&self, what: &str) {
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&self.open(), &options, &self.runtime()).expect("checks");
        let suspects: BTreeSet<_> = {
            let list = self.open().snapshots().expect("lists snapshots");
            list.snapshots.iter().filter(|s| s.suspect).map(|s| s.id).collect()
        };
        let hit = report.hits.snapshots.iter().filter(|hit| !suspects.contains(&hit.id));
        let hit: Vec<_> = hit.collect();
        assert!(hit.is_empty(), "{what}: {hit:?}");
        assert!(!suspects.is_empty() || report.is_clean(), "{what}: {:?}", report.findings);
    }

    /// Packs go only through prunes, index objects never without a successor.
    pub(super) fn assert_removals(&self, prunes: &BTreeSet<usize>) {
        for removal in &self.world.removals {
            let of_prune = ["data/", "meta/", "snapshots/", "gc/"];
            let needs_prune = of_prune.iter().any(|folder| removal.name.starts_with(folder));
            assert!(!needs_prune || prunes.contains(&removal.client), "{removal:?}");
        }
    }
}
