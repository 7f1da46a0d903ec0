//! What others do while a prune is going on, from one step to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder::commit::undelete;
use larder::error::Error;
use larder::model::BackupId;
use larder::repository::{OpenOptions, Repository};
use larder::runtime::{Clock, Phase, Progress, Random, Runtime, TestClock};
use larder::storage::{MemoryStorage, SharedStorage};

use super::{
    DAY_MS, HOUR_MS, assert_left, at_once, author, forget, names, options, prune, versions,
};
use crate::support::Lab;

/// Does something once, when a backup gets to a phase: about to store, or about to commit.
struct At<F>(Phase, F, AtomicBool);

impl<F: Fn() + Send + Sync> At<F> {
    fn new(phase: Phase, f: F) -> Arc<Self> {
        Arc::new(Self(phase, f, AtomicBool::new(false)))
    }
}

impl<F: Fn() + Send + Sync> Progress for At<F> {
    fn phase(&self, phase: Phase) {
        if phase == self.0 && !self.2.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
}

/// Does something once, when a backup gets to a phase.
pub(super) fn at(phase: Phase, f: impl Fn() + Send + Sync + 'static) -> Arc<dyn Progress> {
    At::new(phase, f)
}

/// Another machine that prunes, whatever the lab is doing.
struct Pruner {
    memory: Arc<MemoryStorage>,
    clock: Arc<TestClock>,
    state: std::path::PathBuf,
    unlock: larder::repository::Unlock,
}

impl Pruner {
    fn of(lab: &Lab) -> Arc<Self> {
        let (memory, clock) = (Arc::clone(&lab.memory), Arc::clone(&lab.clock));
        let state = lab.scratch("state of the pruner");
        Arc::new(Self { memory, clock, state, unlock: lab.unlock() })
    }

    fn runtime(&self) -> Runtime {
        self.clock.advance_ms(1000);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Runtime { clock, random: Random::os(), ..Runtime::default() }
    }

    fn open(&self) -> Repository {
        let storage = Arc::clone(&self.memory) as SharedStorage;
        let options = OpenOptions {
            cache_dir: None,
            state_dir: Some(self.state.clone()),
            ..OpenOptions::default()
        };
        Repository::open(storage, &self.unlock, &options, &self.runtime()).expect("opens")
    }

    fn forget_all(&self) {
        let repository = self.open();
        let list = repository.snapshots().expect("lists");
        let all: Vec<_> = list.snapshots.iter().collect();
        let kind = larder::format::log::LogKind::Forget;
        repository
            .append_about(kind, &all, "test", &author(), &list, &self.runtime())
            .expect("forgets");
    }

    fn prune(&self) -> larder::prune::PruneReport {
        larder::prune::run(&self.open(), &options(), &self.runtime()).expect("prunes")
    }

    /// All the runs it takes, with the time between them, up to a number of them.
    fn prune_through(&self, runs: usize) {
        for wait_ms in [8 * DAY_MS, 25 * HOUR_MS, 3 * HOUR_MS, 3 * HOUR_MS].into_iter().take(runs) {
            self.clock.advance_ms(wait_ms);
            self.prune();
        }
    }
}

/// A machine sleeps in the middle of a backup while all that it found there is forgotten and pruned,
/// step after step. However far that got: when it wakes up, its backup is whole.
#[test]
fn a_backup_that_sleeps_through_a_prune_is_whole() {
    for runs in 0..=4 {
        let what = format!("{runs} runs of a prune");
        let mut lab = versions(420 + runs as u64, 2);
        lab.tree().edit(3);
        let pruner = Pruner::of(&lab);
        let other = Arc::clone(&pruner);
        let report = lab.try_backup_with(move |_, runtime| {
            runtime.progress = At::new(Phase::Committing, move || {
                other.forget_all();
                other.prune_through(runs);
            });
        });
        let report = lab.complete(report);
        lab.remember("slept", &report);
        assert_left(&lab, &what);
        // And it stays whole when the prune goes on.
        pruner.prune_through(4);
        assert_left(&lab, &what);
        let list = lab.open().snapshots().expect("lists");
        assert_eq!(list.snapshots.len(), 1, "{what}: only this one is left");
        assert!(!list.snapshots[0].suspect, "{what}");
        if runs == 4 {
            assert!(report.stats.bytes_added > 0);
        }
    }
}

/// What is condemned and found to be needed is kept, and can be used again later.
#[test]
fn what_is_needed_after_all_is_rescued() {
    let lab = versions(430, 2);
    let repository = lab.open();
    let all: Vec<_> = repository.index().packs().iter().map(|(_, info)| info.hash).collect();
    repository.put_mark(BackupId([5; 16]), &all, &[], 0).expect("puts");
    let early = prune(&lab, &options());
    assert_eq!((early.rescued.packs, early.deleted.packs), (0, 0), "{early:?}");
    lab.clock.advance_ms(25 * HOUR_MS);
    let done = prune(&lab, &options());
    assert_eq!(done.rescued.packs, all.len() as u64, "{done:?}");
    // What is condemned never counts again: it is copied, and goes as a whole.
    assert_eq!(done.deleted.packs, all.len() as u64, "{done:?}");
    assert!(done.written.packs > 0);
    assert_left(&lab, "rescued");
    assert!(lab.backup().stats.bytes_added < 1 << 20);
}

/// A dead session delays a mark, is fenced, and is forgotten in the end.
#[test]
fn a_dead_session_is_fenced() {
    let lab = versions(431, 3);
    forget(&lab, |number| number == 2);
    let repository = lab.open();
    let (session, _) =
        repository.begin_session("snapshot", "laptop", &lab.runtime()).expect("begins");
    drop(session);
    lab.clock.advance_ms(8 * DAY_MS);
    let marked = prune(&lab, &options());
    assert!(marked.condemned.packs > 0, "what is older than the session goes: {marked:?}");
    assert_eq!(names(&lab, "gc/fence-").len(), 1, "it is silent already");
    lab.clock.advance_ms(25 * HOUR_MS);
    let done = prune(&lab, &options());
    assert_eq!(done.deleted.packs, marked.condemned.packs, "{done:?}");
    assert!(names(&lab, "sessions/").iter().all(|name| !name.contains("-0000")), "it is removed");
    lab.clock.advance_ms(366 * DAY_MS);
    prune(&lab, &options());
    prune(&lab, &options());
    assert!(names(&lab, "gc/").is_empty(), "{:?}", names(&lab, "gc/"));
    assert_left(&lab, "fenced");
}

/// A forget can be taken back until data is dropped; between mark and drop with a new record.
#[test]
fn undelete_before_during_and_after_a_prune() {
    for runs in 0..=2 {
        let lab = versions(440 + runs as u64, 3);
        forget(&lab, |number| number == 2);
        let pruner = Pruner::of(&lab);
        pruner.prune_through(runs);
        let repository = lab.open();
        let list = repository.snapshots().expect("lists");
        let gone: Vec<_> = list.forgotten.iter().collect();
        let done = undelete(&repository, &gone, &|_| true, &author(), &list, &lab.runtime());
        match runs {
            0 | 1 => assert_eq!(done.expect("undeletes").len(), 2),
            _ => {
                assert!(
                    gone.is_empty() || matches!(done, Err(Error::Overtaken { .. })),
                    "{done:?}"
                );
            }
        }
        assert_left(&lab, "undeleted");
        pruner.prune_through(4);
        assert_left(&lab, "undeleted, then pruned");
        let list = lab.open().snapshots().expect("lists");
        assert_eq!(list.snapshots.len(), if runs < 2 { 3 } else { 1 });
        for snapshot in &list.snapshots {
            lab.restore(&lab.open(), snapshot).expect("restores");
        }
    }
}

/// Two machines that store the same at once store it twice; the next prune keeps one copy.
#[test]
fn copies_are_kept_once() {
    let mut lab = versions(450, 1);
    let big: Vec<u8> = Random::seeded(9).bytes::<400_000>().to_vec();
    std::fs::write(lab.tree().path("both"), &big).expect("writes");
    let fork = lab.beside(451);
    std::fs::write(fork.tree().path("both"), &big).expect("writes");
    let report = lab.try_backup_with(|_, runtime| {
        runtime.progress = At::new(Phase::BackingUp, move || {
            fork.backup();
        });
    });
    let report = lab.complete(report);
    lab.remember("both", &report);
    let done = prune(&lab, &at_once());
    assert!(done.plan.freed_bytes > 350_000, "{done:?}");
    assert_left(&lab, "one copy is left");
    assert_eq!(prune(&lab, &at_once()).deleted.packs, 0);
}

/// Forgotten, undeleted and forgotten again: the new record has a grace of its own, though the old
/// one with the same id is condemned and goes.
#[test]
fn what_is_forgotten_again_has_its_grace_again() {
    let lab = versions(455, 2);
    let id = forget(&lab, |number| number == 1)[0];
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let gone: Vec<_> = list.forgotten.iter().collect();
    undelete(&repository, &gone, &|_| true, &author(), &list, &lab.runtime()).expect("undeletes");
    lab.clock.advance_ms(8 * DAY_MS);
    let marked = prune(&lab, &options());
    assert_eq!(names(&lab, "gc/mark-").len(), 1, "the old record is condemned: {marked:?}");
    assert!(marked.plan.snapshots.is_empty(), "the snapshot lives: {:?}", marked.plan.snapshots);
    lab.clock.advance_ms(24 * HOUR_MS);
    let list = lab.open().snapshots().expect("lists");
    let at = list.snapshots.iter().position(|snapshot| snapshot.id == id).expect("lives");
    assert_eq!(forget(&lab, |number| number != at), [id]);
    lab.clock.advance_ms(25 * HOUR_MS);
    let done = prune(&lab, &options());
    assert!(done.records > 0, "the old record is gone: {done:?}");
    assert!(names(&lab, "gc/mark-").is_empty(), "and not condemned once more");
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let left: Vec<_> = list.forgotten.iter().collect();
    assert_eq!(left.len(), 1, "forgotten a day ago: {:?}", list.forgotten);
    undelete(&repository, &left, &|_| true, &author(), &list, &lab.runtime())
        .expect("undeletes again");
    assert_eq!(lab.open().snapshots().expect("lists").snapshots.len(), 2);
    assert_left(&lab, "undeleted again");
}
