//! Somebody who writes to storage, with no key or an old one: gets nothing, and is noticed.

use std::sync::Arc;

use larder::error::Error;
use larder::format::key_slot::{KeySlot, Rewrap};
use larder::format::record::Bin;
use larder::model::{ObjectHash, SlotId};
use larder::prune::{self, MaxUnused, PruneOptions};
use larder::repository::{Author, OpenOptions, RekeyOptions, Repository, Standing};
use larder::storage::{MemoryStorage, SharedStorage};

use super::circle::{Circle, key};
use crate::support::Lab;

/// The slot objects of a person, with their names.
fn slots_of(circle: &Circle, label: &str) -> Vec<(String, KeySlot)> {
    let names = circle.names().into_iter().filter(|name| name.starts_with("keys/"));
    let slots = names.map(|name| {
        let bytes = circle.storage.bytes(&name).expect("is there");
        let slot = KeySlot::decode(&bytes, &name).expect("a slot");
        (name, slot)
    });
    slots.filter(|(_, slot)| slot.label == label).collect()
}

fn plant(circle: &Circle, slot: &KeySlot) -> String {
    let bytes = slot.encode();
    let name = format!("keys/{}", blake3::hash(&bytes).to_hex());
    circle.storage.replace(&name, &bytes);
    name
}

/// A slot that nobody with a key made gets no new key, and shows as such.
#[test]
fn a_planted_slot_gets_nothing() {
    let mut circle = Circle::of(&["ann", "ben"]);
    let (_, good) = slots_of(&circle, "ben").remove(0);
    // Once with a public key of the attacker's, once only under another name.
    let own_key = KeySlot { public_key: ObjectHash([9; 32]), ..good.clone() };
    let planted = [
        plant(&circle, &KeySlot { slot_id: SlotId([7; 16]), label: "x".into(), ..own_key.clone() }),
        plant(&circle, &KeySlot { slot_id: SlotId([8; 16]), ..good.clone() }),
        plant(&circle, &own_key),
    ];
    let before = planted.clone().map(|name| circle.storage.bytes(&name));
    let report = circle.rekey("ann", &[]).expect("rekeys");
    assert_eq!(report.plan.kept.len(), 2);
    assert_eq!(report.plan.ignored.len(), 2, "{:?}", report.plan.ignored);
    assert!(report.plan.ignored.iter().all(|slot| slot.standing == Standing::Unknown));
    for (name, before) in planted.iter().zip(before) {
        assert_eq!(circle.storage.bytes(name), before, "it is as it was");
    }
    let rewrapped: Vec<KeySlot> = ["ben", "x"]
        .iter()
        .flat_map(|label| slots_of(&circle, label))
        .map(|(_, slot)| slot)
        .filter(|slot| !slot.rewraps.is_empty())
        .collect();
    assert_eq!(rewrapped.len(), 1);
    assert_eq!(rewrapped[0].public_key, good.public_key);
    circle.assert_reads_all("ben");
}

/// A wrap that no holder of the key before vouches for is not followed, wherever it stands.
#[test]
fn forged_rewraps_are_not_followed() {
    let mut circle = Circle::of(&["ann", "ben"]);
    circle.write("ann");
    circle.rekey("ben", &[]).expect("rekeys");
    let (name, good) = slots_of(&circle, "ann").remove(0);
    let forged = Rewrap {
        ephemeral: ObjectHash([5; 32]),
        sealed: good.rewraps[0].sealed.clone(),
        vouch: ObjectHash([6; 32]),
    };
    let mut longer = good.clone();
    longer.rewraps.push(forged.clone());
    let mut other = good.clone();
    other.rewraps[0] = Rewrap { sealed: Bin(vec![1; 104]), ..good.rewraps[0].clone() };
    let mut none = good.clone();
    none.rewraps.clear();
    for slot in [longer, other, none] {
        plant(&circle, &slot);
        circle.assert_reads_all("ann");
    }
    circle.write("ann");
    // With nothing but forgeries left, it is no key.
    circle.storage.remove(&name);
    assert!(matches!(circle.try_open("ann"), Err(Error::WrongKey { .. })));
    circle.assert_reads_all("ben");
}

/// All objects of the keys.
fn key_objects(storage: &MemoryStorage) -> Vec<(String, Arc<[u8]>)> {
    let is_key =
        |name: &String| ["keys/", "keyring/", "config/"].iter().any(|f| name.starts_with(f));
    let names = storage.names().into_iter().filter(is_key);
    names.map(|name| (name.clone(), storage.bytes(&name).expect("is there"))).collect()
}

/// Old slots and keyrings are put back beside the new ones: nobody takes them for new. In the place
/// of the new ones: whoever was there after the rekey notices.
#[test]
fn replayed_keys_are_noticed() {
    let mut circle = Circle::of(&["ann", "ben", "eve"]);
    circle.write("ann");
    let old = key_objects(&circle.storage);
    let home = tempfile::tempdir().expect("a folder");
    let report = circle.rekey("ann", &["eve"]).expect("rekeys");
    let options = OpenOptions {
        cache_dir: None,
        state_dir: Some(home.path().into()),
        ..OpenOptions::default()
    };
    let open = |circle: &Circle| {
        let storage = Arc::clone(&circle.storage) as SharedStorage;
        Repository::open(storage, &key("ann"), &options, &circle.runtime())
    };
    open(&circle).expect("opens, and remembers");
    let new = key_objects(&circle.storage);
    for (name, bytes) in &old {
        circle.storage.replace(name, bytes);
    }
    circle.write("ben");
    let repository = circle.assert_reads_all("ann");
    let current = repository.epochs().into_iter().find(|epoch| epoch.is_current).expect("one");
    assert_eq!(current.id, report.epoch);
    open(&circle).expect("opens");
    circle.assert_shut_out("eve");
    for (name, _) in &new {
        circle.storage.remove(name);
    }
    assert!(matches!(open(&circle), Err(Error::Downgraded { .. })));
}

/// Eve keeps a copy from before she was left out, makes a rekey of her own from it, and puts what
/// that gives into the repository. Nobody writes until somebody settles it, and she gets nothing.
#[test]
fn a_rekey_forged_with_an_old_key_stops_writers_and_gives_nothing() {
    let mut circle = Circle::of(&["ann", "ben", "eve"]);
    circle.write("ann");
    let hers = circle.fork();
    circle.rekey("ann", &["eve"]).expect("rekeys");
    circle.write("ben");
    let home = tempfile::tempdir().expect("a folder");
    let options = OpenOptions {
        cache_dir: None,
        state_dir: Some(home.path().into()),
        ..OpenOptions::default()
    };
    let open = |circle: &Circle| {
        let storage = Arc::clone(&circle.storage) as SharedStorage;
        Repository::open(storage, &key("ann"), &options, &circle.runtime())
    };
    open(&circle).expect("opens, and remembers");
    let repository = hers.open("eve");
    let forged = RekeyOptions::default();
    for _ in 0..3 {
        repository.rekey(&forged, &mut |_| Ok(()), &hers.runtime()).expect("rekeys");
    }
    for (name, bytes) in key_objects(&hers.storage) {
        if !name.starts_with("config/") {
            circle.storage.replace(&name, &bytes);
        }
    }
    let repository = circle.assert_reads_all("ann");
    let refused = circle.try_write_in(&repository).expect_err("refused");
    assert!(matches!(refused, Error::KeysUnsettled { .. }), "{refused}");
    circle.assert_shut_out("eve");
    // In the place of the true keys: whoever was there before is not fooled.
    let replaced = circle.fork();
    for (name, _) in key_objects(&circle.storage) {
        if !hers.names().contains(&name) {
            replaced.storage.remove(&name);
        }
    }
    assert!(open(&replaced).is_err());

    let options = RekeyOptions::default();
    let plan = repository.plan_rekey(&options).expect("plans");
    assert!(plan.joins && plan.ignored.iter().any(|slot| slot.label == "eve"), "{plan:?}");
    repository.rekey(&options, &mut |_| Ok(()), &circle.runtime()).expect("rekeys");
    circle.write("ann");
    circle.assert_reads_all("ben");
    circle.assert_shut_out("eve");
    assert!(!circle.has_key("eve"));
}

/// Data of before is sealed anew, piece by piece, and then no byte of it hangs on the old keys.
#[test]
fn old_data_is_sealed_anew() {
    let mut lab = Lab::seeded(210);
    lab.backup_named("before");
    let repository = lab.open();
    let report = repository.rekey(&RekeyOptions::default(), &mut |_| Ok(()), &lab.runtime());
    let epoch = report.expect("rekeys").epoch;
    lab.tree().edit(5);
    lab.backup_named("after");
    let old_bytes = || -> u64 {
        let sealed = lab.open().sealed_bytes();
        sealed.iter().filter(|(e, _)| !e.is_current).map(|(_, bytes)| bytes).sum()
    };
    assert!(old_bytes() > 100_000);
    let author = Author { host: "lab".into(), user: "tester".into() };
    let mut options = PruneOptions::new(author);
    options.reseal_old_epochs = true;
    options.max_unused = MaxUnused::Percent(100.0);
    options.grace_ms = 0;
    options.max_repack = Some(old_bytes() / 3);
    let all = old_bytes();
    for max_repack in [options.max_repack, None] {
        options.max_repack = max_repack;
        let repository = lab.open();
        prune::run(&repository, &options, &lab.runtime()).expect("prunes");
        repository.reseal_index(&lab.runtime()).expect("merges");
        let left = old_bytes();
        assert_eq!(left > 0, max_repack.is_some(), "{left} of {all}");
        assert!(left < all);
    }
    lab.assert_all_whole("sealed anew");
    assert!(lab.try_check().expect("checks").is_clean());
    // Nothing but log records is of the old epoch.
    for name in lab.memory.names() {
        let bytes = lab.memory.bytes(&name).expect("is there");
        let sealed = ["data/", "meta/", "index/", "config/"].iter().any(|f| name.starts_with(f));
        assert!(!sealed || bytes[32..40] == epoch.0, "{name}");
    }
}
