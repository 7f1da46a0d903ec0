//! Every kind of damage to what steers a repository: index objects, marks, drop lists, damage
//! lists, leases, fences, sessions, checkpoints, tombstones and pins. It is noticed or does no harm;
//! snapshots that are to be kept stay whole through prunes and backups afterwards.

use larder::crypto::Suite;
use larder::error::Error;
use larder::format::gc::Lease;
use larder::format::log::LogKind;
use larder::model::{BackupId, ObjectHash, SessionId};
use larder::prune::{MaxUnused, PruneOptions, run};
use larder::repair::{IndexRepairOptions, PackRepairOptions, repair_index, repair_packs};
use larder::repository::Author;
use larder::storage::Storage;

use crate::support::{Lab, LabOptions};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

fn names(lab: &Lab, prefix: &str) -> Vec<String> {
    lab.memory.names().into_iter().filter(|name| name.starts_with(prefix)).collect()
}

fn hash(name: &str) -> ObjectHash {
    name.rsplit(['/', '-']).next().and_then(ObjectHash::from_hex).expect("a hash")
}

/// Backs up, with a file of its own that is gone from the source afterwards. Returns the new packs
/// of chunks.
fn backup_with_own_file(lab: &Lab, name: &str) -> (BackupId, Vec<String>) {
    let before = names(lab, "data/");
    let path = lab.tree().add_noise(name, 30_000);
    let id = lab.backup().snapshot.expect("a snapshot").id;
    std::fs::remove_file(path).expect("removes a file");
    let new = names(lab, "data/").into_iter().filter(|name| !before.contains(name));
    (id, new.collect())
}

/// Two snapshots to be kept, one of them pinned; three that were forgotten. The data of the first
/// of these waits in a mark, that of the second is half deleted (a drop list names it, and a pack
/// of it is still there), a pack of the third is known to be damaged. A session that died is
/// fenced, a prune that died left its lease, and there is a checkpoint.
fn lab(seed: u64) -> Lab {
    let options =
        LabOptions { suite: Suite::None, samples: false, entries: 6, ..LabOptions::default() };
    let mut lab = Lab::with(seed, options);
    lab.tree().add_noise("kept", 20_000);
    lab.backup_named("first");
    let (marked, marked_packs) = backup_with_own_file(&lab, "marked");
    let (dropped, dropped_packs) = backup_with_own_file(&lab, "dropped");
    let (hurt, hurt_packs) = backup_with_own_file(&lab, "hurt");
    lab.open().compact_index_beyond(0, &lab.runtime()).expect("merges");
    lab.tree().edit(3);
    lab.tree().add_noise("kept too", 20_000);
    lab.backup_named("second");

    let left = lab.tree().add_noise("left", 3000);
    lab.storage.fail_after_writes(2);
    lab.try_backup().expect_err("storage stopped");
    lab.storage.heal();
    std::fs::remove_file(left).expect("removes a file");

    let repository = lab.open();
    let runtime = lab.runtime();
    let list = repository.snapshots().expect("lists");
    let by_id = |id| list.snapshots.iter().find(|s| s.id == id).expect("is there");
    let about = |kind, id| {
        let list = repository.snapshots().expect("lists");
        repository
            .append_about(kind, &[by_id(id)], "test", &author(), &list, &runtime)
            .expect("says something");
    };
    for id in [marked, dropped, hurt] {
        about(LogKind::Forget, id);
    }
    let first = lab.all_remembered().find(|(name, ..)| *name == "first").expect("remembered").1;
    about(LogKind::Pin, first);
    let list = repository.snapshots().expect("lists");
    repository.append_checkpoint(&list, &author(), &runtime).expect("a checkpoint");

    let now = lab.runtime().clock.now_ms();
    let packs = |names: &[String]| names.iter().map(|name| hash(name)).collect::<Vec<_>>();
    let (gone, going) = (BackupId([7; 16]), BackupId([8; 16]));
    repository.put_mark(gone, &packs(&marked_packs), &[], now).expect("a mark");
    repository.put_mark(going, &packs(&dropped_packs), &[], now).expect("a mark");
    repository.put_drop_list(going, &packs(&dropped_packs), now).expect("a drop list");
    lab.memory.damage(&hurt_packs[0], |bytes| bytes[100] ^= 1);
    repository.put_damage_list(&packs(&hurt_packs[..1]), now).expect("a damage list");
    let session = names(&lab, "sessions/").remove(0);
    let session = SessionId::from_hex(&session["sessions/".len()..][..32]).expect("a session");
    repository.put_fence(gone, session, now).expect("a fence");
    let lease = Lease {
        gc_id: going,
        number: 0,
        host: "lab".into(),
        process_id: 1,
        started_ms: now,
        now_ms: now,
        purpose: "prune".into(),
    };
    repository.put_lease(&lease).expect("a lease");
    lab
}

/// The objects that steer: all but packs, snapshots and what opens the repository.
fn steering(lab: &Lab) -> Vec<String> {
    let repository = lab.open();
    let mut found = [names(lab, "index/"), names(lab, "gc/"), names(lab, "sessions/")].concat();
    let list = repository.snapshots().expect("lists");
    let other = list.records().iter().filter(|r| r.outer.kind != LogKind::Snapshot as u8);
    found.extend(other.map(|record| record.name.clone()));
    assert!(found.len() > 12, "{found:?}");
    found
}

/// Whatever prunes and backups do with what they find: what is to be kept is whole. `what` says
/// what was done to the repository before.
fn survives(lab: &Lab, what: &str) {
    let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
    repository.load_index().unwrap_or_else(|error| panic!("{what}: {error}"));
    repository.snapshots().unwrap_or_else(|error| panic!("{what}: {error}"));
    lab.assert_remembered_whole(what);
    lab.try_check().unwrap_or_else(|error| panic!("{what}: {error}"));
    let options = PruneOptions::new(author());
    let at_once = PruneOptions { grace_ms: 0, max_unused: MaxUnused::Bytes(0), ..options.clone() };
    for (days, options) in [(8, &options), (2, &options), (1, &options), (1, &at_once)] {
        lab.clock.advance_ms(days * DAY_MS);
        let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
        if let Err(error) = run(&repository, options, &lab.runtime()) {
            let is_refusal =
                matches!(error, Error::Refused { .. } | Error::History { .. } | Error::Busy { .. });
            assert!(is_refusal || error.is_damage(), "{what}: {error:?}");
            assert!(what != "no damage", "{error:?}");
        }
        lab.assert_remembered_whole(what);
    }
    let report = lab.try_backup().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.is_complete(), "{what}: {:?}", report.stats);
    lab.assert_remembered_whole(what);
}

#[test]
fn the_repository_itself_survives() {
    survives(&lab(90), "no damage");
}

/// What was changed is noticed by a check; whatever follows, kept snapshots stay whole.
#[test]
fn damage_to_what_steers_costs_no_snapshot() {
    let lab = lab(91);
    for name in steering(&lab) {
        let len = lab.memory.bytes(&name).expect("is there").len();
        for at in [0, 10, 70, len / 2, len - 1] {
            let hurt = lab.fork();
            hurt.memory.damage(&name, |bytes| bytes[at] ^= 0x10);
            let what = format!("{name}, flipped at {at}");
            let report = hurt.try_check().unwrap_or_else(|error| panic!("{what}: {error}"));
            let is_told = report.findings.iter().any(|finding| finding.object == name);
            assert!(is_told, "{what}: nobody says so");
            survives(&hurt, &what);
        }
        for len in [0, 63, len / 2] {
            let hurt = lab.fork();
            hurt.memory.damage(&name, |bytes| bytes.truncate(len));
            survives(&hurt, &format!("{name}, cut to {len}"));
        }
        let hurt = lab.fork();
        hurt.memory.remove(&name);
        survives(&hurt, &format!("{name}, deleted"));
    }
}

/// One object holds what another of its folder held.
#[test]
fn exchanged_objects_cost_no_snapshot() {
    let lab = lab(92);
    let all = steering(&lab);
    for (name, other) in all.iter().zip(all.iter().skip(1)) {
        let hurt = lab.fork();
        let (ours, theirs) = (hurt.memory.bytes(name), hurt.memory.bytes(other));
        hurt.memory.replace(name, &theirs.expect("is there"));
        hurt.memory.replace(other, &ours.expect("is there"));
        survives(&hurt, &format!("{name} and {other}, exchanged"));
    }
}

/// What a prune removed comes back: from a mirror that lags, or by somebody's hand.
#[test]
fn replayed_objects_cost_no_snapshot() {
    let before = lab(93);
    let lab = before.fork();
    survives(&lab, "before the replay");
    let all = before.memory.names();
    let removed: Vec<&String> = all.iter().filter(|name| lab.memory.head(name).is_err()).collect();
    assert!(removed.len() > 5, "{removed:?}");
    for name in removed {
        let hurt = lab.fork();
        hurt.memory.replace(name, &before.memory.bytes(name).expect("is there"));
        survives(&hurt, &format!("{name}, replayed"));
    }
}

/// A prune keeps the good copies of what a damaged pack held, and then lets the pack go.
#[test]
fn a_prune_after_a_repair_keeps_the_good_copies() {
    let mut lab = Lab::with(
        94,
        LabOptions {
            suite: Suite::None,
            samples: false,
            entries: 6,
            pack_target: 8 << 20,
            ..LabOptions::default()
        },
    );
    for number in 0..4 {
        lab.tree().add_noise(&format!("large {number}"), 1_300_000);
    }
    lab.backup_named("first");
    let packs = names(&lab, "data/");
    for (number, pack) in packs.iter().enumerate() {
        for at in [100, 900_000] {
            let hurt = lab.fork();
            let len = hurt.memory.bytes(pack).expect("is there").len();
            hurt.memory.damage(pack, |bytes| bytes[at.min(len - 1)] ^= 1);
            let repository = hurt.try_open().expect("opens");
            let options = PackRepairOptions::default();
            let runtime = hurt.runtime();
            repair_packs(&repository, &[hash(pack)], &options, &author(), &runtime)
                .expect("repairs");
            hurt.backup();
            hurt.assert_all_whole("healed");
            survives(&hurt, &format!("pack {number} at {at}"));
            let options = IndexRepairOptions { read_packs: true, ..IndexRepairOptions::default() };
            let repository = hurt.try_open().expect("opens");
            let index = repair_index(&repository, &options, &author(), &hurt.runtime());
            assert!(index.expect("repairs").corrected.is_empty());
            assert!(hurt.try_check().expect("checks").is_clean());
        }
    }
}
