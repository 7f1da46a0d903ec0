//! Prunes that are stopped, storage that refuses, and what cannot be read.

use larder::error::{Error, StorageErrorKind};
use larder::prune::{MaxUnused, PruneOptions};
use larder::storage::Storage;
use larder::storage::fault::{Fault, On, Rule};

use super::{
    DAY_MS, HOUR_MS, assert_left, at_once, forget, names, options, pack_bytes, planned, prune,
    try_prune, versions,
};
use crate::rounds;

/// Stopped before any of its writes: nothing suffers, and the next run completes it.
#[test]
fn a_prune_may_stop_anywhere() {
    let lab = versions(461, 4);
    forget(&lab, |number| number == 1 || number == 3);
    let writes_max = {
        let lab = lab.fork();
        lab.record.clear();
        prune(&lab, &at_once());
        let record = &lab.record;
        let put = larder::storage::record::Operation::Put;
        let delete = larder::storage::record::Operation::Delete;
        (record.count(put, "") + record.count(delete, "")) as u64
    };
    assert!(writes_max > 15, "{writes_max} writes");
    let mut bytes = None;
    for stop_after in (0..writes_max).step_by(rounds(5, 1) as usize) {
        let what = format!("stopped after {stop_after} writes");
        let lab = lab.fork();
        lab.storage.fail_after_writes(stop_after);
        let stopped = try_prune(&lab, &at_once());
        assert!(stopped.is_err() || stop_after + 3 > writes_max, "{what}: {stopped:?}");
        lab.storage.heal();
        assert_left(&lab, &what);
        let options = PruneOptions { ignore_lease: true, ..at_once() };
        prune(&lab, &options);
        assert_left(&lab, &what);
        let left = pack_bytes(&lab);
        assert_eq!(*bytes.get_or_insert(left), left, "{what}");
        assert!(lab.open().snapshots().expect("lists").forgotten.is_empty(), "{what}");
        let others = names(&lab, "gc/").into_iter().filter(|name| !name.contains("lease"));
        assert_eq!(others.count(), 0, "{what}: {:?}", names(&lab, "gc/"));
    }
}

/// Append-only storage keeps everything, counts it, and nothing comes back to life.
#[test]
fn storage_that_refuses_deletes_retains() {
    let lab = versions(462, 3);
    forget(&lab, |number| number == 2);
    let before = pack_bytes(&lab);
    lab.storage.inject(Rule {
        on: On::Delete,
        prefix: String::new(),
        nth: 1,
        times: u64::MAX,
        fault: Fault::Fail(StorageErrorKind::Denied),
    });
    let whole = PruneOptions { max_unused: MaxUnused::Percent(100.0), ..at_once() };
    let report = prune(&lab, &whole);
    assert!(report.retained.packs > 0 && report.deleted.packs == 0, "{report:?}");
    assert_eq!(pack_bytes(&lab), before);
    assert_left(&lab, "retained");
    let again = PruneOptions { ignore_lease: true, ..whole };
    let report = prune(&lab, &again);
    assert_eq!(report.deleted.packs, 0, "{report:?}");
    assert_left(&lab, "retained again");
    // When it does not refuse any more, they go.
    lab.storage.heal();
    prune(&lab, &again);
    assert!(pack_bytes(&lab) < before);
    assert_left(&lab, "gone");
}

/// What decides about life has to be readable: else nothing is removed, and the error says what to
/// do.
#[test]
fn doubt_removes_nothing() {
    let lab = versions(463, 3);
    forget(&lab, |number| number == 2);
    let pages = names(&lab, "meta/");
    let records = names(&lab, "snapshots/");
    let objects = names(&lab, "index/");
    for name in pages.iter().chain(&records).chain(&objects) {
        let lab = lab.fork();
        lab.memory.damage(name, |bytes| {
            let len = bytes.len();
            bytes[64..len].iter_mut().for_each(|byte| *byte ^= 1);
        });
        let before = pack_bytes(&lab);
        match try_prune(&lab, &at_once()) {
            // A pack of pages that only the forgotten ones need may be damaged.
            Ok(_) => {
                assert!(pages.contains(name), "{name}");
                lab.assert_restores_identical("version 2");
            }
            Err(error) => {
                assert_eq!(error.exit_code(), 1, "{name}: {error}");
                assert!(
                    matches!(error, Error::Refused { .. } | Error::History { .. }),
                    "{name}: {error}"
                );
                assert!(error.hint().is_some(), "{name}: {error}");
                assert_eq!(pack_bytes(&lab), before, "{name}");
            }
        }
    }
}

/// A listing that fails is no empty one, and one that hides packs is noticed.
#[test]
fn listings_are_not_taken_for_less_than_they_are() {
    let lab = versions(464, 3);
    forget(&lab, |number| number == 2);
    for nth in 1..=12 {
        let lab = lab.fork();
        let before = pack_bytes(&lab);
        lab.storage.fail_nth(On::List, nth, StorageErrorKind::Temporary);
        let failed = try_prune(&lab, &at_once());
        lab.storage.heal();
        assert!(failed.is_err() || pack_bytes(&lab) < before, "listing {nth}: {failed:?}");
        assert_left(&lab, "a listing failed");
    }
    let hidden = lab.fork();
    for name in names(&hidden, "data/") {
        hidden.memory.delete(&name).expect("deletes");
    }
    let refused = try_prune(&hidden, &at_once()).expect_err("is refused");
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    // Without the index the packs say themselves what is in them.
    let bare = lab.fork();
    for name in names(&bare, "index/") {
        bare.memory.delete(&name).expect("deletes");
    }
    prune(&bare, &at_once());
    bare.assert_restores_identical("version 2");
}

/// A damaged pack is not copied under a name that says that all is well.
#[test]
fn damage_is_never_packed_anew() {
    let lab = versions(465, 4);
    forget(&lab, |number| number == 3);
    let plan = planned(&lab, &at_once());
    assert!(plan.repack.packs > 0, "{plan:?}");
    for name in names(&lab, "data/") {
        let lab = lab.fork();
        lab.memory.damage(&name, |bytes| bytes[200] ^= 1);
        let hit_before = !lab.try_check().expect("checks").is_clean();
        assert!(hit_before, "{name}");
        let report = prune(&lab, &at_once());
        let is_there = lab.memory.names().contains(&name);
        // Either nobody needs it and it is gone, or it is still there under its own name.
        let clean = lab.try_check().expect("checks").is_clean();
        assert!(clean != is_there || is_there, "{name}: {report:?}");
        if is_there {
            assert!(!clean, "{name}: damage has to be seen");
        } else {
            assert_left(&lab, &name);
        }
    }
}

/// Another prune at work is left alone, unless somebody knows better.
#[test]
fn a_lease_keeps_others_away() {
    let lab = versions(466, 2);
    let repository = lab.open();
    let lease = larder::format::gc::Lease {
        gc_id: larder::model::BackupId([3; 16]),
        number: 0,
        host: "other".into(),
        process_id: 7,
        started_ms: 0,
        now_ms: 0,
        purpose: "prune".into(),
    };
    repository.put_lease(&lease).expect("puts");
    let busy = try_prune(&lab, &options()).expect_err("is busy");
    assert_eq!(busy.exit_code(), 11);
    assert!(busy.to_string().contains("other"), "{busy}");
    prune(&lab, &PruneOptions { ignore_lease: true, ..options() });
    lab.clock.advance_ms(31 * 60_000);
    prune(&lab, &options());
}

/// Storage that keeps everything keeps marks and packs, too: they are decided, and neither a plan
/// nor a run says that they wait.
#[test]
fn what_is_retained_does_not_wait() {
    let lab = versions(467, 3);
    forget(&lab, |number| number == 2);
    lab.clock.advance_ms(8 * DAY_MS);
    assert!(prune(&lab, &options()).condemned.packs > 0);
    lab.storage.inject(Rule {
        on: On::Delete,
        prefix: String::new(),
        nth: 1,
        times: u64::MAX,
        fault: Fault::Fail(StorageErrorKind::Denied),
    });
    lab.clock.advance_ms(25 * HOUR_MS);
    let options = PruneOptions { ignore_lease: true, ..options() };
    let done = prune(&lab, &options);
    assert!(done.retained.packs > 0, "{done:?}");
    assert_eq!(done.condemned.packs, 0, "{done:?}");
    let plan = planned(&lab, &options);
    assert_eq!((plan.condemned.packs, plan.delete.packs), (0, done.retained.packs), "{plan:?}");
    lab.clock.advance_ms(25 * HOUR_MS);
    let again = prune(&lab, &options);
    assert_eq!(again.condemned.packs, 0, "{again:?}");
    assert!(again.plan.waits.is_empty(), "{again:?}");
    assert_left(&lab, "retained");
}

/// A condemned pack that lost a part: what is sound of it is copied, and what is not keeps every
/// pack that has it, so that a repair can try them all.
#[test]
fn what_is_nowhere_sound_is_kept_wherever_it_is() {
    let mut lab = versions(468, 1);
    let big: Vec<u8> = larder::runtime::Random::seeded(10).bytes::<400_000>().to_vec();
    std::fs::write(lab.tree().path("both"), &big).expect("writes");
    let fork = lab.beside(469);
    std::fs::write(fork.tree().path("both"), &big).expect("writes");
    let fork = std::sync::Mutex::new(Some(fork));
    let before = names(&lab, "data/");
    let report = lab.try_backup_with(|_, runtime| {
        runtime.progress = super::meanwhile::at(larder::runtime::Phase::BackingUp, move || {
            fork.lock().expect("locks").take().expect("once").backup();
        });
    });
    let report = lab.complete(report);
    lab.remember("both", &report);
    let new: Vec<String> =
        names(&lab, "data/").into_iter().filter(|name| !before.contains(name)).collect();
    for name in &new {
        lab.memory.damage(name, |bytes| bytes[5000] ^= 1);
    }
    let repository = lab.open();
    let hash = |name: &String| {
        larder::model::ObjectHash::from_hex(&name[name.len() - 64..]).expect("a hash")
    };
    let mut all: Vec<_> = new.iter().map(hash).collect();
    all.sort_unstable();
    for (number, pack) in all.iter().enumerate() {
        let gc_id = larder::model::BackupId([number as u8; 16]);
        repository.put_mark(gc_id, &[*pack], &[], 0).expect("puts");
    }
    lab.clock.advance_ms(25 * HOUR_MS);
    let done = prune(&lab, &options());
    for name in &new {
        assert!(names(&lab, "data/").contains(name), "{name}: {done:?}");
    }
}
