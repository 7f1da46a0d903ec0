//! Storage that forgets what it was given: rolled back, or with records taken out. Backups and
//! restores go on, and nobody can say that they were not told.

use larder::crypto::Suite;
use larder::error::Error;
use larder::repository::{Author, Breach, SnapshotList};
use larder::runtime::Runtime;

use crate::support::{Lab, LabOptions};

fn small(seed: u64) -> Lab {
    let options =
        LabOptions { suite: Suite::None, samples: false, entries: 8, ..LabOptions::default() };
    Lab::with(seed, options)
}

fn list(lab: &Lab) -> SnapshotList {
    lab.open().snapshots().expect("lists snapshots")
}

fn author() -> Author {
    Author { host: "host".into(), user: "ann".into() }
}

/// Two clients make three snapshots each, in turn. Whichever record is taken out: both notice, and
/// so does a machine that was never there, unless it was the last of all.
#[test]
fn whichever_record_is_taken_out_is_missed() {
    let mut lab = small(900);
    let mut other = lab.beside(901);
    for round in 0..3 {
        lab.backup_named(&format!("{round}"));
        other.backup_named(&format!("{round}"));
    }
    assert_eq!(list(&lab).rollback, []);
    assert_eq!(list(&other).rollback, []);
    let code = list(&lab).head_code().expect("there are records");
    let snapshots = list(&lab).snapshots;
    for (number, snapshot) in snapshots.iter().enumerate() {
        let robbed = lab.fork();
        robbed.memory.remove(&snapshot.object_name);
        let told = list(&robbed);
        let missed = matches!(told.rollback[..], [Breach::Missing { first, last, .. }]
            if first == last && first == snapshot.client_seq);
        assert!(missed, "record {number}: {:?}", told.rollback);
        assert!(matches!(told.check_history(false), Err(Error::History { .. })));
        assert!(told.check_head(&code).is_err(), "record {number}");
        assert!(!robbed.try_check().expect("checks").is_clean(), "record {number}");
        let never_there = list(&robbed.beside(1000 + number as u64));
        let is_last = number + 1 == snapshots.len();
        assert_eq!(never_there.rollback.is_empty(), is_last, "record {number}");
        assert!(never_there.check_head(&code).is_err(), "record {number}");
        for name in ["0", "1", "2"] {
            if lab.remembered(&lab.open(), name).0.id != snapshot.id {
                robbed.assert_restores_identical(name);
            }
        }
    }
    assert_eq!(list(&lab).check_head(&code), Ok(()));
}

/// The repository is put back to each earlier state: backups go on, all machines are told, and
/// after somebody has accepted it all is as it should be.
#[test]
fn a_rollback_to_any_earlier_state_is_noticed_survived_and_accepted() {
    let mut lab = small(910);
    let mut states = Vec::new();
    let mut codes = Vec::new();
    for round in 0..4 {
        states.push(lab.memory.fork());
        lab.backup_named(&format!("{round}"));
        codes.push(list(&lab).head_code().expect("there are records"));
    }
    for (kept, state) in states.into_iter().enumerate() {
        let lab = lab.on(state);
        let told = list(&lab);
        assert_eq!((told.snapshots.len(), told.rollback.len()), (kept, 1), "{:?}", told.rollback);
        for (number, code) in codes.iter().enumerate() {
            assert_eq!(told.check_head(code).is_ok(), number < kept, "{number} of {kept}");
        }
        let made = lab.backup().snapshot.expect("commits");
        assert_eq!(made.client_seq, 5, "numbers are not used twice");
        for reader in [&lab, &lab.beside(920 + kept as u64)] {
            let told = list(reader);
            assert!(matches!(told.rollback[..], [Breach::Missing { last: 4, .. }]), "{told:?}");
        }
        let runtime = Runtime::default();
        let trusted = lab.open().trusted_snapshots(true, &author(), &runtime).expect("accepts");
        assert_eq!((trusted.rollback.len(), trusted.snapshots.len()), (0, kept + 1));
        assert_eq!(list(&lab.beside(930 + kept as u64)).rollback, []);
        assert!(lab.try_check().expect("checks").is_clean());
        for name in 0..kept {
            lab.assert_restores_identical(&name.to_string());
        }
    }
}
