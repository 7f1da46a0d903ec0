//! Calls of one place fail, or its bytes are wrong.

use larder::crypto::Suite;
use larder::error::StorageErrorKind::{Denied, Permanent, Temporary};
use larder::storage::fault::On;

use super::trio::Trio;
use crate::rounds;

/// A mirror fails at its n-th call: the backup is made all the same, and the mirror stays sound.
#[test]
fn a_mirror_that_fails_at_any_call_stays_sound() {
    let mut before = Trio::new(21, Suite::None);
    before.backup_named("one");
    before.lab.tree().edit(4);
    let counting = before.fork();
    counting.backup();
    let calls = counting.faults[1].calls(On::Any);
    assert!(calls > 5, "{calls}");
    for nth in 1..=calls {
        for kind in [Temporary, Permanent, Denied] {
            let what = format!("call {nth} {kind:?}");
            let trio = before.fork();
            trio.faults[1].fail_times(On::Any, nth, u64::MAX, kind);
            let report = trio.try_backup().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(report.is_degraded(), "{what}");
            trio.faults[1].heal();
            for place in 0..3 {
                trio.assert_sound(place, &what);
            }
            assert_eq!(trio.names(2), trio.names(0), "{what}: the other mirror has all");
            // One call that fails is no reason to be left alone by the next run.
            let again = trio.backup();
            assert!(!again.is_degraded(), "{what}: {:?}", again.mirrors);
            trio.assert_equal(&what);
            if rounds(0, 1) == 0 {
                break;
            }
        }
    }
}

/// Objects of the primary are lost or damaged, one after the other: everything is read from the
/// mirrors, told of, and found by a check.
#[test]
fn what_the_primary_lost_is_read_from_a_mirror() {
    let mut trio = Trio::new(22, Suite::Aes256);
    trio.backup_named("one");
    trio.lab.tree().edit(4);
    trio.backup_named("two");
    let names = trio.names(0);
    let is_read = |name: &&String| !name.starts_with("keys/") && *name != "repo";
    for name in names.iter().filter(is_read) {
        for is_lost in [true, false] {
            let hurt = trio.fork();
            let object = format!("primary/{name}");
            if is_lost {
                // It is listed and cannot be read.
                let rule = larder::storage::fault::Rule {
                    on: On::Get,
                    prefix: name.clone(),
                    nth: 1,
                    times: u64::MAX,
                    fault: larder::storage::fault::Fault::Fail(Permanent),
                };
                hurt.faults[0].inject(rule);
            } else {
                hurt.memory.damage(&object, |bytes| {
                    let at = bytes.len() / 2;
                    bytes[at] ^= 1;
                });
            }
            let what = format!("{name} lost: {is_lost}");
            // What opens it is needed before the mirrors are known.
            let Ok(repository) = hurt.try_open() else {
                assert!(name.starts_with("config/") || name.starts_with("keyring/"), "{what}");
                continue;
            };
            repository.load_index().unwrap_or_else(|error| panic!("{what}: {error}"));
            for tree in ["one", "two"] {
                let (snapshot, copy) = hurt.lab.remembered(&repository, tree);
                let restored = hurt.lab.restore(&repository, &snapshot);
                let restored = restored.unwrap_or_else(|error| panic!("{what}: {error}"));
                copy.assert_same(&restored, format!("{what} {tree}"));
            }
        }
    }
}

/// The primary does not answer any more in the middle of a restore.
#[test]
fn a_restore_goes_on_without_the_primary() {
    let mut trio = Trio::new(23, Suite::None);
    for n in 0..6 {
        trio.lab.tree().add_noise(&format!("noise{n}"), 200_000);
    }
    trio.backup_named("one");
    let repository = trio.open();
    repository.load_index().expect("loads");
    let (snapshot, copy) = trio.lab.remembered(&repository, "one");
    trio.faults[0].fail_times(On::Any, 3, u64::MAX, Temporary);
    let restored = trio.lab.restore(&repository, &snapshot).expect("restores");
    copy.assert_same(&restored, "from mirrors");
    let report = repository.mirrors().expect("has mirrors").report();
    assert!(report.elsewhere_count > 0);
}

/// A pack that only mirrors have is needed: a check calls it damage though all could be read, and a
/// dry run of a heal finds nothing that it would leave.
#[test]
fn what_only_mirrors_have_is_damage() {
    use larder::manager::{HealingOptions, Mirrors};
    use larder::verify::{CheckOptions, Severity, check};
    let mut trio = Trio::new(24, Suite::None);
    trio.backup_named("one");
    let is_pages = |name: &String| name.starts_with("meta/");
    let lost = trio.names(0).into_iter().find(is_pages).expect("a pack of pages");
    trio.memory.remove(&format!("primary/{lost}"));
    let report = check(&trio.open(), &CheckOptions::default(), &trio.lab.runtime());
    let report = report.expect("checks");
    let of_it = report.findings.iter().filter(|finding| finding.object == lost);
    let severities: Vec<_> = of_it.map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Damage; 2], "{:?}", report.findings);

    let repository = trio.open();
    let mirrors = Mirrors::of(&repository, trio.connector());
    for dry_run in [true, false] {
        let options = HealingOptions { dry_run, ..HealingOptions::default() };
        let report = mirrors.heal(&options, &trio.lab.runtime()).expect("heals").report;
        assert!(report.left.is_empty() && report.healed.len() == 1, "{report:?}");
    }
    drop(repository);
    trio.assert_all_sound("healed");
}
