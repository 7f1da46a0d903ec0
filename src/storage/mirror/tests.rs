//! What a mirror gets, and when it is left alone: on plain objects, without a repository.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::error::Error;
use crate::model::Place;
use crate::storage::{MemoryStorage, list_sorted};

/// A primary and one mirror.
struct Pair {
    primary: Arc<MemoryStorage>,
    mirror: Arc<MemoryStorage>,
    /// Whether the mirror cannot be reached.
    is_away: Arc<AtomicBool>,
    both: MirrorStorage,
}

impl Pair {
    fn new() -> Self {
        let (primary, mirror) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
        let is_away = Arc::new(AtomicBool::new(false));
        for place in [&primary, &mirror] {
            put(&**place, "repo");
        }
        let mut places = Places::default();
        places.add(Place::mirror("m", "memory:m")).expect("a mirror");
        let (there, away) = (Arc::clone(&mirror), Arc::clone(&is_away));
        let connector = Connector::new(move |_| match away.load(Ordering::Relaxed) {
            true => Err(Error::usage("not now")),
            false => Ok(Arc::clone(&there) as SharedStorage),
        });
        let policy = MirrorPolicy::All;
        let both =
            MirrorStorage::new(Arc::clone(&primary) as _, &places, policy, connector, |_| true);
        Self { primary, mirror, is_away, both }
    }

    /// What the primary has and the mirror does not.
    fn lacking(&self) -> Vec<String> {
        let there = self.mirror.names();
        self.primary.names().into_iter().filter(|name| !there.contains(name)).collect()
    }

    fn left(&self) -> Option<String> {
        self.both.report().mirrors[0].left.clone()
    }
}

/// Objects are what they are called.
fn put(storage: &dyn Storage, name: &str) {
    storage.put(name, &[name.as_bytes()], PutMode::Content).expect("puts");
}

fn list(storage: &dyn Storage, folders: &[&str]) {
    for folder in folders {
        list_sorted(storage, folder).expect("lists");
    }
}

/// Somebody else's index object or record is found after everything was listed: it rests on packs
/// and index objects that were never listed, and they come with it.
#[test]
fn what_others_put_comes_with_what_it_rests_on() {
    let pair = Pair::new();
    list(&pair.both, &["data/", "meta/", "index/", "snapshots/"]);
    put(&pair.both, "index/own");
    let theirs = |names: &[&str]| names.iter().for_each(|name| put(&*pair.primary, name));

    theirs(&["data/aa/1", "meta/aa/1", "index/1"]);
    list(&pair.both, &["index/"]);
    put(&pair.both, "index/own-2");
    assert_eq!(pair.lacking(), [""; 0], "an index object");

    theirs(&["data/bb/2", "meta/bb/2", "index/2", "snapshots/c/00000001-2"]);
    list(&pair.both, &["snapshots/"]);
    put(&pair.both, "snapshots/o/00000001-own");
    assert_eq!(pair.lacking(), [""; 0], "a record");
    assert_eq!(pair.left(), None);
    assert!(pair.both.report().mirrors[0].is_complete);
}

/// So does what was put between the listing of packs and that of the index, before the first write.
#[test]
fn what_was_put_between_two_listings_comes_too() {
    let pair = Pair::new();
    put(&pair.both, "data/00/begun");
    list(&pair.both, &["index/", "data/", "meta/"]);
    for name in ["data/aa/1", "meta/aa/1", "index/1"] {
        put(&*pair.primary, name);
    }
    list(&pair.both, &["index/", "snapshots/"]);
    put(&pair.both, "snapshots/o/00000001-own");
    assert_eq!(pair.lacking(), [""; 0]);
}

/// One that was away is left alone for a run, and tried again by the next.
#[test]
fn a_mirror_that_was_away_is_tried_again_in_the_next_run() {
    let pair = Pair::new();
    pair.is_away.store(true, Ordering::Relaxed);
    put(&pair.both, "index/1");
    assert!(pair.left().is_some_and(|why| why.contains("not now")));
    pair.is_away.store(false, Ordering::Relaxed);
    put(&pair.both, "index/2");
    assert_eq!(pair.lacking(), ["index/1", "index/2"], "not in this run");
    pair.both.end_run();
    put(&pair.both, "index/3");
    assert_eq!((pair.left(), pair.lacking()), (None, vec![]));
    assert_eq!(pair.both.report().mirrors[0].caught_up, 2);
}

/// No commit waits for what takes long to copy.
#[test]
fn a_mirror_that_is_far_behind_is_left_to_a_sync() {
    let lacks = ["data/aa/1", "index/1"];
    let bytes: u64 = lacks.iter().map(|name| name.len() as u64).sum();
    for (limit, is_copied) in [(bytes - 1, false), (bytes, true)] {
        let mut pair = Pair::new();
        pair.both.catch_up_bytes = limit;
        lacks.iter().for_each(|name| put(&*pair.primary, name));
        put(&pair.both, "snapshots/o/00000001-own");
        let report = pair.both.report().mirrors.remove(0);
        assert_eq!((report.is_behind, report.left.is_none()), (!is_copied, is_copied), "{limit}");
        match is_copied {
            true => assert_eq!(pair.lacking(), [""; 0]),
            false => assert_eq!(pair.mirror.names(), ["repo"], "nothing is copied"),
        }
    }
}

/// The same in objects.
#[test]
fn many_small_objects_are_left_to_a_sync() {
    let pair = Pair::new();
    for number in 0..=CATCH_UP_OBJECTS {
        put(&*pair.primary, &format!("data/aa/{number}"));
    }
    put(&pair.both, "snapshots/o/00000001-own");
    assert!(pair.both.report().mirrors[0].is_behind);
    assert_eq!(pair.mirror.names(), ["repo"]);
}
