//! A repository with two mirrors that are written in the same run: whatever fails, wherever it
//! stops, each copy alone is a repository.

mod crash;
mod faults;
mod times;
mod trio;

use larder::crypto::Suite;
use larder::error::StorageErrorKind;
use larder::model::MirrorPolicy;
use larder::storage::fault::On;

use self::trio::Trio;

#[test]
fn mirrors_get_what_the_primary_gets_in_the_same_run() {
    let mut trio = Trio::new(1, Suite::Aes256);
    for name in ["one", "two"] {
        let report = trio.backup_named(name);
        assert!(!report.is_degraded(), "{:?}", report.mirrors);
        assert!(report.mirrors.mirrors.iter().all(|mirror| mirror.is_complete));
        trio.lab.tree().edit(3);
        trio.assert_equal(name);
        trio.assert_all_sound(name);
    }
    assert!(!trio.memory.names().iter().any(|name| name.starts_with("primary/mirrors/")));
}

/// A mirror that was away catches up before the next commit, and pays its debts.
#[test]
fn a_mirror_that_was_away_catches_up() {
    let mut trio = Trio::new(2, Suite::None);
    trio.backup_named("one");
    trio.faults[2].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    trio.lab.tree().edit(3);
    let report = trio.backup_named("two");
    assert!(report.is_degraded());
    let missed: Vec<_> = report.mirrors.missed().map(|mirror| &*mirror.name).collect();
    assert_eq!(missed, ["m2"]);
    let debts = trio.open().debts().expect("lists");
    assert_eq!(debts.len(), 1);
    assert_eq!((&*debts[0].mirror, debts[0].snapshot), ("m2", Some(trio.lab.id_of("two"))));
    trio.faults[2].heal();
    assert_eq!(trio.assert_sound(2, "behind").into_iter().collect::<Vec<_>>(), ["one"]);

    trio.lab.tree().edit(3);
    let report = trio.backup_named("three");
    assert!(!report.is_degraded(), "{:?}", report.mirrors);
    assert!(report.mirrors.mirrors[1].caught_up > 0);
    trio.assert_equal("caught up");
    trio.assert_all_sound("caught up");
    assert_eq!(trio.open().debts().expect("lists"), []);
}

#[test]
fn a_quorum_that_is_missed_commits_nothing() {
    let mut trio = Trio::new(3, Suite::None);
    trio.backup_named("one");
    trio.policy = Some(MirrorPolicy::Quorum);
    trio.faults[1].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    trio.lab.tree().edit(3);
    let report = trio.backup_named("two of three");
    assert!(report.is_degraded());
    trio.faults[2].fail_times(On::Put, 1, u64::MAX, StorageErrorKind::Denied);
    trio.lab.tree().edit(3);
    let error = trio.try_backup().expect_err("one of three");
    assert!(error.in_full().contains("1 of 3 copies can take it, 2 are asked for"), "{error:?}");
    assert!(error.hint().expect("a hint").contains("larder mirror"));
    let list = trio.try_open_alone(0).expect("opens").snapshots().expect("lists");
    assert_eq!(list.snapshots.len(), 2);
    trio.policy = Some(MirrorPolicy::All);
    trio.backup_named("all");
    trio.assert_sound(0, "all");
}

/// Everything before the record is at all places. The record itself is committed with the primary's
/// put, whatever mirrors do then: nobody can take it back.
#[test]
fn mirrors_that_fail_with_the_record_itself_make_the_commit_degraded() {
    let mut trio = Trio::new(31, Suite::None);
    trio.policy = Some(MirrorPolicy::Quorum);
    trio.backup_named("one");
    for faults in &trio.faults[1..] {
        let (on, prefix) = (On::Put, "snapshots/".to_owned());
        let fault = larder::storage::fault::Fault::Fail(StorageErrorKind::Denied);
        faults.inject(larder::storage::fault::Rule { on, prefix, nth: 1, times: 1, fault });
    }
    trio.lab.tree().edit(3);
    let report = trio.backup_named("two");
    assert!(report.is_degraded());
    assert_eq!(report.mirrors.missed().count(), 2, "{:?}", report.mirrors);
    let id = trio.lab.id_of("two");
    let debts = trio.open().debts().expect("lists");
    assert!(debts.len() == 2 && debts.iter().all(|debt| debt.snapshot == Some(id)), "{debts:?}");
    assert_eq!(trio.assert_sound(0, "the primary").len(), 2);
    for mirror in [1, 2] {
        assert_eq!(trio.assert_sound(mirror, "without the record").len(), 1);
        let lacks: Vec<_> = trio.names(0).difference(&trio.names(mirror)).cloned().collect();
        assert!(lacks.len() == 1 && lacks[0].starts_with("snapshots/"), "{lacks:?}");
    }
    trio.lab.tree().edit(3);
    assert!(!trio.backup_named("three").is_degraded());
    trio.assert_equal("made up for");
    trio.assert_all_sound("made up for");
}

#[test]
fn asynchronous_mirrors_are_not_written_in_the_run() {
    let mut trio = Trio::new(4, Suite::None);
    trio.backup_named("one");
    trio.policy = Some(MirrorPolicy::Async);
    trio.record.clear();
    trio.lab.tree().edit(3);
    for name in ["two", "two again"] {
        let report = trio.backup_named(name);
        assert_eq!(report.mirrors.missed().count(), 2, "{:?}", report.mirrors);
        assert!(!report.is_degraded(), "that is what was asked for");
    }
    assert!(trio.record.writes().iter().all(|write| write.name.starts_with("primary/")));
    assert_eq!(trio.open().debts().expect("lists").len(), 2, "one for each mirror");
    trio.policy = None;
    assert!(!trio.backup_named("three").is_degraded());
    trio.assert_equal("three");
}

/// No folder is listed twice for the sake of mirrors, and a mirror once.
#[test]
fn mirrors_cost_one_listing_each() {
    use larder::storage::record::Operation::List;
    let trio = Trio::new(5, Suite::None);
    trio.backup();
    trio.record.clear();
    trio.lab.tree().edit(3);
    trio.backup();
    for place in ["m1/", "m2/"] {
        assert_eq!(trio.record.count(List, place), 1, "{place}");
    }
    let calls = trio.record.calls();
    for folder in ["data/", "meta/"] {
        let name = format!("primary/{folder}");
        let count = calls.iter().filter(|call| call.operation == List && call.name == name).count();
        assert_eq!(count, 1, "{folder}");
    }
}

/// The promise as a whole: two mirrors in the same run, the primary hurt in several ways; each
/// mirror alone gives everything back, and what was hurt is found.
#[test]
fn storage_redundancy() {
    let mut trio = Trio::new(6, Suite::Aes256);
    for name in ["one", "two", "three"] {
        trio.lab.tree().add_noise(name, 150_000);
        let report = trio.backup_named(name);
        assert!(!report.is_degraded(), "{:?}", report.mirrors);
        trio.lab.tree().edit(3);
    }
    trio.assert_all_sound("whole");
    let of_primary = |folder: &str| {
        let prefix = format!("primary/{folder}");
        let names = trio.memory.names().into_iter();
        names.filter(|name| name.starts_with(&prefix)).collect::<Vec<_>>()
    };
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() / 3;
        bytes[at] ^= 0x10;
    };
    type Harm<'a> = (&'a str, &'a dyn Fn(&Trio));
    let harms: [Harm<'_>; 5] = [
        ("a damaged pack", &|hurt| {
            assert!(hurt.memory.damage(&of_primary("data/")[0], flip));
        }),
        ("every pack damaged", &|hurt| {
            for name in of_primary("data/").iter().chain(&of_primary("meta/")) {
                assert!(hurt.memory.damage(name, flip));
            }
        }),
        ("packs cut off", &|hurt| {
            for name in of_primary("data/") {
                assert!(hurt.memory.damage(&name, |bytes| bytes.truncate(bytes.len() / 2)));
            }
        }),
        ("a lost index", &|hurt| {
            of_primary("index/").iter().for_each(|name| hurt.memory.remove(name));
        }),
        ("damaged records", &|hurt| {
            for name in of_primary("snapshots/") {
                assert!(hurt.memory.damage(&name, flip));
            }
        }),
    ];
    for (what, harm) in harms {
        let hurt = trio.fork();
        harm(&hurt);
        // With its mirrors everything comes back, from wherever it is good.
        let repository = hurt.open();
        repository.load_index().expect("loads");
        for name in ["one", "two", "three"] {
            let (snapshot, copy) = hurt.lab.remembered(&repository, name);
            let restored = hurt.lab.restore(&repository, &snapshot);
            let restored = restored.unwrap_or_else(|error| panic!("{what}: {error}"));
            copy.assert_same(&restored, format!("{what}: {name}"));
        }
        // A check does not take the mirror's bytes for the primary's.
        use larder::verify::{CheckOptions, ReadData, check};
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&hurt.open(), &options, &hurt.lab.runtime()).expect("checks");
        assert!(!report.is_clean(), "{what}");
        // Each mirror alone is a full repository.
        for number in [1, 2] {
            assert_eq!(hurt.assert_sound(number, what).len(), 3, "{what}");
        }
    }
    // Nothing at all is left of the primary.
    let gone = trio.fork();
    for name in of_primary("") {
        gone.memory.remove(&name);
    }
    let error = gone.try_open().err().expect("there is nothing");
    assert_eq!(error.exit_code(), 10);
    assert!(error.hint().expect("a hint").contains("`-r memory:m1`"), "{:?}", error.hint());
    for number in [1, 2] {
        let repository = gone.try_open_alone(number).expect("opens");
        repository.load_index().expect("loads");
        let (snapshot, copy) = gone.lab.remembered(&repository, "three");
        copy.assert_same(&gone.lab.restore(&repository, &snapshot).expect("restores"), "alone");
    }
}

/// Whoever goes on with a mirror that was behind is told so, in words that fit.
#[test]
fn a_mirror_that_is_behind_says_so() {
    let mut trio = Trio::new(7, Suite::None);
    trio.backup_named("one");
    trio.faults[1].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    trio.backup_named("two");
    trio.faults[1].heal();
    let options = larder::repository::OpenOptions {
        places: larder::storage::Connector::none(),
        ..trio.lab.open_options()
    };
    let (unlock, runtime) = (trio.lab.unlock(), trio.lab.runtime());
    let mirror = larder::repository::Repository::open(trio.place(1), &unlock, &options, &runtime);
    let list = mirror.expect("opens").snapshots().expect("lists");
    assert!(!list.rollback.is_empty());
    assert!(list.notices.iter().any(|n| n.contains("the mirror `m1`")), "{:?}", list.notices);
}

/// `m1` was behind, and is the repository from now on: the second snapshot is at `m2` alone.
fn set_back(seed: u64) -> Trio {
    let mut trio = Trio::new(seed, Suite::None);
    trio.lab.tree().add_noise("of both", 200_000);
    trio.backup_named("one");
    trio.faults[1].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    trio.lab.tree().edit(4);
    trio.backup_named("two");
    trio.faults[1].heal();
    std::fs::remove_file(trio.lab.tree().path("of both")).expect("removes a file");
    for name in trio.names(0) {
        trio.memory.remove(&format!("primary/{name}"));
    }
    for name in trio.names(1) {
        let bytes = trio.memory.bytes(&format!("m1/{name}")).expect("is there");
        trio.memory.replace(&format!("primary/{name}"), &bytes);
    }
    trio.lab.tree().edit(4);
    trio
}

/// A machine that knew nothing of the newer snapshots prunes: they are left as they are.
#[test]
fn a_mirror_with_newer_snapshots_loses_nothing() {
    let trio = set_back(9);
    trio.lab.lose_memory();
    let newer = trio.names(2);
    let repository = trio.open();
    let mirrors = larder::manager::Mirrors::of(&repository, trio.connector());
    let synced = mirrors.sync(&[], false, &trio.lab.runtime()).expect("compares");
    let are_newer = synced.iter().map(|one| one.outcome.as_ref().expect("syncs").is_newer);
    assert_eq!(are_newer.collect::<Vec<_>>(), [false, true]);
    drop(repository);
    let report = trio.backup();
    let left = report.mirrors.mirrors[1].left.as_deref().unwrap_or_default();
    assert!(left.contains("newer snapshots"), "{:?}", report.mirrors);
    crash::forget(&trio, "one").expect("forgets");
    crash::prune(&trio).expect("prunes");
    let gone: Vec<_> = newer.iter().filter(|name| !trio.names(0).contains(*name)).collect();
    assert!(gone.iter().any(|name| name.starts_with("data/")), "what `two` needs: {gone:?}");
    trio.assert_sound(0, "pruned");
    assert_eq!(trio.names(1), trio.names(0), "the other mirror is as the primary");
    let there = trio.names(2);
    assert!(newer.is_subset(&there), "nothing is deleted there");
    let is_pack = |name: &&String| name.starts_with("data/") || name.starts_with("meta/");
    assert!(there.difference(&newer).all(|name| is_pack(&name)), "nothing that rests on others");
    assert_eq!(trio.assert_sound(2, "pruned elsewhere").len(), 2);

    // What is owed to it stays so.
    let debts = |trio: &Trio| trio.open().debts().expect("lists");
    assert!(debts(&trio).iter().any(|debt| debt.mirror == "m2" && !debt.deletes.is_empty()));
    let repository = trio.open();
    let mirrors = larder::manager::Mirrors::of(&repository, trio.connector());
    let synced = mirrors.sync(&["m2".into()], false, &trio.lab.runtime()).expect("compares");
    let refused = synced[0].outcome.as_ref().expect_err("it is newer");
    assert!(refused.to_string().contains("newer snapshots"), "{refused}");
    let seen = mirrors.list(&trio.lab.runtime()).expect("lists");
    let newer_ones = seen.iter().map(|mirror| mirror.standing.expect("is there").is_newer);
    assert_eq!(newer_ones.collect::<Vec<_>>(), [false, true]);
    assert!(newer.is_subset(&trio.names(2)), "nothing is deleted there");
    assert!(trio.assert_sound(2, "after a sync").contains("two"));
    assert!(!debts(&trio).is_empty());
}

/// A machine that has seen the newer snapshots is told where they are, removes nothing, and brings
/// them back.
#[test]
fn what_the_repository_lost_is_named_and_healed() {
    let trio = set_back(10);
    let report = trio.backup();
    assert!(report.mirrors.mirrors[1].is_newer, "{:?}", report.mirrors);
    let list = trio.open().snapshots().expect("lists");
    assert_eq!(list.snapshots.len(), 2, "none that rests on what is not there");
    for removed in [crash::forget(&trio, "one"), crash::prune(&trio)] {
        let error = removed.expect_err("snapshots are missing");
        assert!(error.to_string().contains("the mirror `m2` has"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("larder heal --from m2")));
    }
    let repository = trio.open();
    let mirrors = larder::manager::Mirrors::of(&repository, trio.connector());
    let options = larder::manager::HealingOptions::default();
    let healing = mirrors.heal(&options, &trio.lab.runtime()).expect("heals");
    assert!(healing.report.is_whole(), "{:?}", healing.report);
    drop(repository);
    trio.assert_all_sound("healed");
    crash::forget(&trio, "one").expect("forgets");
    crash::prune(&trio).expect("prunes");
    trio.assert_equal("pruned");
    assert!(trio.assert_sound(2, "pruned").contains("two"));
}

/// Deletes that a mirror missed are written down, and made up for when it is back.
#[test]
fn deletes_that_a_mirror_missed_are_debts() {
    let mut trio = Trio::new(8, Suite::Aes256);
    trio.backup_named("one");
    let before = trio.names(2);
    trio.faults[2].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    let rekey = larder::repository::RekeyOptions::default();
    trio.open().rekey(&rekey, &mut |_| Ok(()), &trio.lab.runtime()).expect("rekeys");
    let debts = trio.open().debts().expect("lists");
    let deletes: Vec<&String> = debts.iter().flat_map(|debt| &debt.deletes).collect();
    assert!(deletes.iter().any(|name| before.contains(*name)), "{deletes:?}");
    assert_eq!(trio.names(2), before, "it is left alone");
    trio.faults[2].heal();
    trio.assert_sound(2, "behind");
    assert!(!trio.backup_named("two").is_degraded());
    trio.assert_equal("made up for");
    assert_eq!(trio.open().debts().expect("lists"), []);
    trio.assert_all_sound("made up for");
}
