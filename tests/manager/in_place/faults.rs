//! Restores that fail at every step there is.

use std::fs;
use std::sync::atomic::Ordering;

use larder::error::Error;
use larder::restore::transaction::InPlaceOptions;

use super::exact::{Case, Exact, assert_clean, failing};
use crate::support::{Dice, Lab, LabOptions, TreeCopy};

/// An error at any step of an in-place restore: afterwards the tree is exactly as it was before,
/// or, once it is committed, as in the snapshot.
#[test]
fn rollback_on_error() {
    let case = Case::new(Lab::seeded(430), |source| {
        let at = |name: &str| source.join("samples").join(name);
        fs::write(at("tiny"), b"other content").expect("writes");
        fs::remove_file(at("noise")).expect("removes");
        fs::write(at("extra"), b"not in the snapshot").expect("writes");
        fs::remove_dir_all(at("deep/er")).expect("removes");
        fs::remove_file(at("text")).expect("removes");
        fs::create_dir(at("text")).expect("makes a folder");
        fs::write(at("text/in it"), b"in the way").expect("writes");
        fs::remove_dir(at("empty folder")).expect("removes");
        fs::write(at("empty folder"), b"now a file").expect("writes");
    });
    let before = Exact::of(&case.source());
    let mut failed = 0;
    for step in 0.. {
        let (hook, steps) = failing(step);
        let options = InPlaceOptions { hook: Some(hook), ..case.options() };
        match case.restore(&options) {
            Err(error) => {
                before.assert_same(&case.source(), format!("step {step}: {error}"));
                assert_clean(&case.source(), Some(&case.state));
                assert!(
                    matches!(error, Error::RolledBack { .. } | Error::Local { .. }),
                    "step {step}: {error:?}"
                );
                failed += 1;
            }
            Ok(_) => {
                // After the commit an error only delays the cleaning up.
                assert!(steps.load(Ordering::Relaxed) > step, "an error is never overlooked");
                let report = case.restore(&case.options()).expect("restores");
                assert!(report.counts.is_nothing(), "step {step}: {report:?}");
                case.assert_restored(format!("step {step}"));
                break;
            }
        }
    }
    assert!(failed > 35, "only {failed} steps");
}

/// Random trees, edited at random: a restore that fails at a random step leaves the tree exactly as
/// it was, and one that does not makes it the one of the snapshot.
#[test]
fn random_trees_are_restored_wholly_or_not_at_all() {
    for seed in 0..rounds(6, 60) {
        let lab =
            Lab::with(600 + seed, LabOptions { samples: false, entries: 40, ..Default::default() });
        let snapshot = lab.backup().snapshot.expect("a snapshot");
        let stored = TreeCopy::of_folder(&lab.source());
        lab.tree().edit(25);
        let (repository, state) = (lab.open(), lab.scratch("in-place-state"));
        let case = Case { lab, repository, snapshot, stored, state };
        let before = Exact::of(&case.source());
        let dice = Dice::seeded(seed);
        for _ in 0..4 {
            let (hook, _) = failing(10 + dice.below(120));
            let options = InPlaceOptions { hook: Some(hook), ..case.options() };
            match case.restore(&options) {
                Ok(_) => break,
                Err(error) => {
                    before.assert_same(&case.source(), format!("seed {seed}: {error:?}"));
                    assert_clean(&case.source(), Some(&case.state));
                }
            }
        }
        case.restore(&case.options()).expect("restores");
        case.assert_restored(format!("seed {seed}"));
    }
}

fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("LARDER_TEST_LONG").is_some() { long } else { short }
}
