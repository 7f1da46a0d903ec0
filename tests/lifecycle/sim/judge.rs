//! Looks at what is left when everybody has gone home.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use larder::error::Error;
use larder::prune::{self, MaxUnused, PruneOptions};
use larder::repository::{Author, OpenOptions, Repository, Snapshot, Unlock};
use larder::runtime::{Clock, Random, Runtime};
use larder::storage::SharedStorage;
use larder::verify::{CheckOptions, ReadData, check};

use super::clients::{Client, Truth};
use super::world::{DAY_MS, World, WorldClock};
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
            random: Random::os(),
            ..Runtime::default()
        }
    }

    pub(super) fn open(&self) -> Repository {
        let storage: SharedStorage = self.world.memory.clone();
        let options = OpenOptions {
            cache_dir: None,
            state_dir: Some(self.home.join("judge")),
            ..OpenOptions::default()
        };
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
        let list = self.open().snapshots().expect("lists snapshots");
        let suspects = list.snapshots.iter().filter(|snapshot| snapshot.suspect);
        let suspects: BTreeSet<_> = suspects.map(|snapshot| snapshot.id).collect();
        let hit = report.hits.snapshots.iter().filter(|hit| !suspects.contains(&hit.id));
        let hit: Vec<_> = hit.collect();
        assert!(hit.is_empty(), "{what}: {hit:?}");
        assert!(!suspects.is_empty() || report.is_clean(), "{what}: {:?}", report.findings);
    }

    /// Prunes, until there is nothing left to do: what nobody needs is gone in the end.
    pub(super) fn prune_to_the_end(&self) {
        let author = Author { host: "judge".into(), user: "judge".into() };
        let options = PruneOptions {
            max_unused: MaxUnused::Bytes(0),
            accept_history: true,
            temporary: self.home.to_path_buf(),
            ..PruneOptions::new(author)
        };
        for round in 0.. {
            assert!(round < 12, "prunes never get to an end");
            self.clock.advance(3 * DAY_MS);
            let report = match prune::run(&self.open(), &options, &self.runtime()) {
                Ok(report) => report,
                // A snapshot that is not whole: it stays suspect until somebody forgets it.
                Err(Error::Refused { .. }) if self.has_suspects() => return,
                Err(error) => panic!("a prune of a quiet repository fails: {error}"),
            };
            self.assert_kept(&format!("after prune {round} at the end"));
            let plan = &report.plan;
            if report.condemned.packs == 0 && plan.repack.packs + plan.delete.packs == 0 {
                return;
            }
        }
    }

    fn has_suspects(&self) -> bool {
        let list = self.open().snapshots().expect("lists snapshots");
        list.snapshots.iter().any(|snapshot| snapshot.suspect)
    }

    /// Nobody but a prune removes packs, records and what lies in `gc/`.
    pub(super) fn assert_removals(&self, prunes: bool) {
        for removal in self.world.removals.iter().filter(|_| !prunes) {
            let of_prunes = ["data/", "meta/", "snapshots/", "gc/"];
            let is_of_prunes = of_prunes.iter().any(|folder| removal.name.starts_with(folder));
            assert!(!is_of_prunes, "client {} removed {}", removal.client, removal.name);
        }
    }
}
