//! Restores that come to their end.

use std::fs;

use super::exact::{Case, assert_clean};
use crate::support::{Lab, TreeCopy};

/// A tree that was edited at random becomes the one of the snapshot, to the last attribute.
#[test]
fn an_edited_tree_becomes_the_one_of_the_snapshot() {
    for seed in 0..12 {
        let lab = Lab::seeded(400 + seed);
        let snapshot = lab.backup().snapshot.expect("a snapshot");
        let stored = TreeCopy::of_folder(&lab.source());
        lab.tree().edit(30);
        let (repository, state) = (lab.open(), lab.scratch("in-place-state"));
        let case = Case { lab, repository, snapshot, stored, state };
        let report = case.restore(&case.options()).expect("restores");
        assert!(!report.counts.is_nothing(), "{report:?}");
        assert!(report.left_behind.is_empty(), "{report:?}");
        case.assert_restored(format!("seed {seed}"));
        let again = case.restore(&case.options()).expect("restores");
        assert!(again.counts.is_nothing(), "{again:?}");
    }
}

/// Nothing is touched where nothing differs, and a dry run touches nothing.
#[test]
fn a_dry_run_touches_nothing() {
    let case = Case::new(Lab::seeded(420), |source| {
        fs::write(source.join("samples/tiny"), b"changed").expect("writes");
        fs::remove_file(source.join("samples/empty")).expect("removes");
    });
    let before = TreeCopy::of_folder(&case.source());
    let options = larder::restore::transaction::InPlaceOptions { dry_run: true, ..case.options() };
    let report = case.restore(&options).expect("plans");
    assert_eq!((report.counts.created, report.counts.replaced), (1, 1), "{report:?}");
    before.assert_same(&TreeCopy::of_folder(&case.source()), "a dry run");
    assert_clean(&case.source(), Some(&case.state));
}
