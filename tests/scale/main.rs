//! Memory does not grow with a repository: the same work on one and on one four times as large,
//! with every allocation counted. The index and the manifest are real, the data is not there (see
//! benches/scale).

#[path = "../support/counting.rs"]
mod counting;
#[path = "../../benches/scale/generate.rs"]
mod generate;
#[path = "../../benches/scale/numbers.rs"]
mod numbers;

use std::path::Path;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use larder::crypto::Suite;
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
use larder::runtime::Runtime;
use larder::storage::{self, Location};
use larder::verify::{CheckOptions, check};

use counting::Counting;
use generate::{Shape, generate};
use numbers::Numbers;

/// What all threads hold together.
static HELD: AtomicIsize = AtomicIsize::new(0);
/// The most that they held.
static MOST: AtomicIsize = AtomicIsize::new(0);

fn count(change: isize) {
    let held = HELD.fetch_add(change, Relaxed) + change;
    MOST.fetch_max(held, Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { count };

/// The most that `work` held at once, in MiB, beside what was there before.
fn most_held<T>(work: impl FnOnce() -> T) -> (isize, T) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = work();
    ((MOST.load(Relaxed) - before) >> 20, result)
}

fn open(folder: &Path, cache: &Path) -> Repository {
    let options =
        OpenOptions { cache_dir: Some(cache.into()), state_dir: None, ..OpenOptions::default() };
    let storage = storage::open(&Location::from_path(folder).expect("a path")).expect("opens");
    Repository::open(storage, &Unlock::Nothing, &options, &Runtime::default()).expect("opens")
}

fn load(repository: &Repository) {
    let bad = repository.load_index().expect("loads the index");
    assert!(bad.is_empty(), "{bad:?}");
}

/// What each step held at most, in MiB.
fn measure(chunks: u64) -> Vec<(&'static str, isize)> {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("repository");
    let runtime = Runtime::default();
    let location = Location::from_path(&folder).expect("a path");
    let storage = storage::create(&location, LAYOUT).expect("makes it");
    let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
    let options = OpenOptions::default();
    let repository = Repository::init(storage, &[Unlock::Nothing], &init, &options, &runtime);
    let repository = repository.expect("makes a repository");
    // Runs that a merge takes in, and deltas that are larger than an eighth of one of them.
    let shape = Shape { chunks, files: chunks / 10, runs: 4, delta_packs: chunks / 256 / 24 };
    let mut all = Vec::new();
    let (most, numbers) =
        most_held(|| generate(&repository, Some(&folder), shape, &runtime).expect("generates"));
    all.push(("generate", most));
    drop(repository);
    let cache = home.path().join("cache");
    all.push(("first load", most_held(|| load(&open(&folder, &cache))).0));
    all.push(("load", most_held(|| load(&open(&folder, &cache))).0));
    all.push(("look-ups", most_held(|| look_up(&open(&folder, &cache), &numbers)).0));
    let checked = most_held(|| {
        let report = check(&open(&folder, &cache), &CheckOptions::default(), &runtime);
        let report = report.expect("checks");
        assert!(report.is_clean(), "{:?}", report.findings);
        assert_eq!((report.checked.chunks, report.checked.snapshots), (chunks, 1));
    });
    all.push(("check", checked.0));
    let session = most_held(|| {
        let repository = open(&folder, &cache);
        let (session, findings) =
            repository.begin_session("test", "host", &runtime).expect("begins");
        assert_eq!((findings.lost_packs, findings.adopted_packs), (0, 0));
        session.end().expect("ends");
    });
    all.push(("session", session.0));
    let merged = most_held(|| {
        let repository = open(&folder, &cache);
        load(&repository);
        let replaced = repository.compact_index_beyond(0, &runtime).expect("merges");
        assert!(replaced >= 10, "two deltas and four runs: {replaced}");
    });
    all.push(("merge", merged.0));
    look_up(&open(&folder, &home.path().join("another cache")), &numbers);
    all
}

/// All over the index: ids that are there, and ids between them.
fn look_up(repository: &Repository, numbers: &Numbers) {
    load(repository);
    assert_eq!(repository.index().packs().len() as u64 / numbers.packs(), 1);
    for rank in (0..numbers.chunks).step_by(97) {
        let found = repository.index().find(&numbers.id(rank)).expect("a known id");
        assert_eq!(found.len, Numbers::len(numbers.place(rank)));
        assert!(repository.index().find(&numbers.absent_id(rank)).is_none());
    }
}

/// What a step may hold beside what it holds of a small repository: buffers of fixed size that fill
/// up (a shard of the index, packs, the cache of segments), and about 10 bytes a chunk of what is
/// kept for each pack and page.
const GROWTH_MAX: [(&str, isize); 7] = [
    ("generate", 40),
    ("first load", 26),
    ("load", 1),
    ("look-ups", 1),
    ("check", 72),
    ("session", 2),
    ("merge", 72),
];

#[test]
fn memory_does_not_grow_with_the_repository() {
    let small = measure(250_000);
    let large = measure(1_000_000);
    for (((step, few), (_, many)), (same, growth)) in small.into_iter().zip(large).zip(GROWTH_MAX) {
        println!("{step}: {few} MiB, four times as many: {many} MiB");
        assert_eq!(step, same);
        assert!(many <= 112, "{step}: {many} MiB");
        assert!(many - few <= growth, "{step}: {few} MiB, then {many} MiB");
    }
}
