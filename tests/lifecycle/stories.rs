//! What simulations found, told one by one.

use larder::error::Result;
use larder::format::log::LogKind;
use larder::prune::{self, PruneOptions, PruneReport};
use larder::repository::Author;
use larder::storage::fault::{Fault, On, Rule};

use crate::crash::{author, lab};
use crate::support::Lab;

fn prune_at_once(lab: &Lab) -> Result<PruneReport> {
    let options = PruneOptions { grace_ms: 0, ..PruneOptions::new(author()) };
    prune::run(&lab.try_open()?, &options, &lab.runtime())
}

/// The answer to a commit gets lost; before the machine comes back, somebody forgets the snapshot
/// and prunes it away, with its record. The next snapshot of that machine once got the number of
/// the one that was gone, and the checkpoint that had let go of that record let go of the new one:
/// a snapshot that was reported done was taken for a leftover, and the next prune deleted it.
#[test]
fn the_number_of_a_pruned_record_is_not_used_again() {
    let lab = lab(300);
    let prefix = "snapshots/".into();
    lab.storage.inject(Rule { on: On::Put, prefix, nth: 1, times: 1, fault: Fault::LoseAnswer });
    lab.try_backup().expect_err("its answer got lost");
    lab.storage.heal();
    let other = lab.beside(301);
    let repository = other.open();
    let list = repository.snapshots().expect("lists");
    let all: Vec<_> = list.snapshots.iter().collect();
    assert_eq!(all.len(), 1, "it was committed");
    let author = Author { host: "other".into(), user: "tester".into() };
    let (kind, runtime) = (LogKind::Forget, other.runtime());
    repository.append_about(kind, &all, "", &author, &list, &runtime).expect("forgets");
    // Its session stayed open, as nobody knew what came of it.
    lab.clock.advance_ms(13 * 3_600_000);
    let report = prune_at_once(&other).expect("prunes");
    assert!(report.records > 0, "{report:?}");
    let id = lab.backup().snapshot.expect("a snapshot").id;
    prune_at_once(&other).expect("prunes");
    let list = lab.open().snapshots().expect("lists");
    assert!(list.snapshots.iter().any(|snapshot| snapshot.id == id), "{list:?}");
    assert!(list.rollback.is_empty(), "{:?}", list.rollback);
    lab.assert_all_whole("pruned twice");
}
