//! Keys over time: who must open the repository after keys were added, removed and changed, by one
//! person or by several at once, also when a machine stops in the middle.

mod circle;
mod crash;
mod model;
mod races;
mod tampering;

use larder::crypto::{RecoveryCode, Suite};
use larder::error::Error;
use larder::repository::{NewRecovery, RekeyOptions, Standing, Unlock};

use self::circle::{Circle, key, short_id};
use crate::support::{Lab, LabOptions};

/// A rekey shuts out whoever is named, lets everybody else in without a password, replaces the
/// recovery code, and what is written afterwards opens with no older key.
#[test]
fn whoever_stays_opens_everything_and_whoever_goes_opens_nothing_new() {
    let mut circle = Circle::of(&["ann", "ben", "eve"]);
    let old_code = circle.new_recovery("ann");
    circle.write("ann");
    let before = circle.open("ann").epochs();
    let report = circle.rekey("ann", &["eve"]).expect("rekeys");
    assert_eq!(report.plan.kept.len(), 2);
    assert_eq!(report.plan.removed.len(), 1);
    assert!(report.plan.new_recovery && report.retained == 0);
    assert!(!before.iter().any(|epoch| epoch.id == report.epoch));
    let new_code = circle.shown.take().expect("a code was shown");
    circle.write("ben");
    for name in ["ann", "ben"] {
        let repository = circle.assert_reads_all(name);
        let epochs = repository.epochs();
        assert_eq!(epochs.len(), 2);
        assert!(epochs.iter().any(|epoch| epoch.is_current && epoch.id == report.epoch));
    }
    circle.assert_shut_out("eve");
    let parse = |text: &str| Unlock::Recovery(RecoveryCode::parse(text).expect("a code"));
    assert!(circle.try_open_with(&parse(&old_code)).is_err());
    let opened = circle.try_open_with(&parse(&new_code)).expect("opens");
    circle.assert_reads(&opened);
    let slots = opened.slots().expect("lists");
    assert_eq!(slots.len(), 3);
    assert!(slots.iter().all(|slot| slot.standing == Standing::Current), "{slots:?}");
    circle.assert_tidy();
}

/// Who was left out and kept the repository open writes nothing more.
#[test]
fn an_open_repository_learns_of_a_rekey_at_its_next_session() {
    let mut circle = Circle::of(&["ann", "ben", "eve"]);
    circle.write("ann");
    let (ben, eve) = (circle.open("ben"), circle.open("eve"));
    let report = circle.rekey("ann", &["eve"]).expect("rekeys");
    circle.write("ann");
    // Ben reads what is sealed with keys that he did not have when he opened it.
    assert!(ben.load_index().expect("loads").is_empty());
    circle.assert_reads(&ben);
    assert!(ben.epochs().iter().any(|epoch| epoch.id == report.epoch), "he knows it by now");
    let chunk = circle.write_in(&ben);
    let epoch_of = |repository: &larder::repository::Repository| {
        let place = repository.index().find(&chunk.0).expect("is stored");
        repository.index().segment(place.pack, place.segment_no).expect("there").epoch
    };
    assert_eq!(epoch_of(&ben), report.epoch, "and writes with the new key");
    let refused = eve.begin_session("test", "host", &circle.runtime()).err().expect("refused");
    assert!(matches!(refused, Error::KeyRemoved { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 12);
    circle.assert_tidy();
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut circle = Circle::of(&["ann", "ben"]);
    let before = circle.names();
    let own = short_id(&circle, "ann");
    let rekey = |circle: &mut Circle, remove: &[&str]| {
        let remove = remove.iter().map(|id| (*id).to_owned()).collect();
        let options = RekeyOptions { remove, ..RekeyOptions::default() };
        circle.rekey_with("ann", &options).expect_err("refused")
    };
    assert!(matches!(rekey(&mut circle, &["ffff"]), Error::NotFound { what: "key", .. }));
    assert!(matches!(rekey(&mut circle, &[""]), Error::Ambiguous { .. }));
    assert!(matches!(rekey(&mut circle, &[&own]), Error::Usage { .. }));
    assert_eq!(circle.names(), before);

    // Opened with the code, which is replaced: nothing would open the repository any more.
    let code = circle.new_recovery("ann");
    let code = Unlock::Recovery(RecoveryCode::parse(&code).expect("a code"));
    let repository = circle.try_open_with(&code).expect("opens");
    let remove = ["ann", "ben"].map(|name| short_id(&circle, name)).to_vec();
    let options = RekeyOptions { remove, recovery: NewRecovery::Never, ..RekeyOptions::default() };
    let refused = repository.rekey(&options, &mut |_| Ok(()), &circle.runtime());
    assert!(matches!(refused, Err(Error::Usage { .. })));

    let plain = Lab::with(
        200,
        LabOptions { suite: Suite::None, samples: false, entries: 2, ..LabOptions::default() },
    );
    let refused = plain.open().rekey(&RekeyOptions::default(), &mut |_| Ok(()), &plain.runtime());
    assert!(matches!(refused, Err(Error::Usage { hint: Some(_), .. })));
    let refused = plain.open().plan_rekey(&RekeyOptions::default());
    assert!(matches!(refused, Err(Error::Usage { hint: Some(_), .. })), "a plan says the same");
}

/// Nobody gets new keys whom the person who changes them has not seen in the plan.
#[test]
fn a_key_that_was_added_after_the_plan_stops_the_rekey() {
    let mut circle = Circle::of(&["ann", "ben"]);
    let plan = circle.open("ann").plan_rekey(&RekeyOptions::default()).expect("plans");
    let options = RekeyOptions { seen: Some(plan.kept_ids()), ..RekeyOptions::default() };
    let cheap = larder::repository::KdfCost::CheapForTests;
    circle.open("ben").add_slot(&key("new"), "new", cheap, &circle.runtime()).expect("adds");
    let names = circle.names();
    let refused = circle.rekey_with("ann", &options).expect_err("refused");
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    assert_eq!(circle.names(), names, "nothing was changed");
    circle.rekey("ann", &[]).expect("rekeys with all that are there");
    circle.assert_reads_all("ben");
}

/// A key object that cannot be read just now is told of, and opens what it opened before once it
/// is back.
#[test]
fn a_slot_that_cannot_be_read_is_told_of_and_its_keyring_stays() {
    let mut circle = Circle::of(&["ann", "ben"]);
    circle.write("ann");
    let slots = |circle: &Circle| {
        let names = circle.names().into_iter().filter(|name| name.starts_with("keys/"));
        names.map(|name| (circle.storage.bytes(&name).expect("is there"), name)).collect::<Vec<_>>()
    };
    let is_bens = |bytes: &[u8]| bytes.windows(3).any(|part| part == b"ben");
    let (good, name) =
        slots(&circle).into_iter().find(|(bytes, _)| is_bens(bytes)).expect("his slot");
    let mut bad = good.to_vec();
    bad[40] ^= 1;
    circle.storage.replace(&name, &bad);
    assert_eq!(circle.open("ann").slots_and_bad().expect("lists").1.len(), 1);
    let plan = circle.open("ann").plan_rekey(&RekeyOptions::default()).expect("plans");
    assert!(plan.unreadable.len() == 1 && plan.unreadable[0].contains(&name), "{plan:?}");
    let report = circle.rekey("ann", &[]).expect("rekeys");
    assert_eq!((report.plan.kept.len(), report.plan.unreadable.len()), (1, 1));
    circle.storage.replace(&name, &good);
    circle.assert_reads_all("ben");
    circle.write("ann");
    let report = circle.rekey("ann", &[]).expect("rekeys");
    assert_eq!((report.plan.ignored.len(), report.plan.unreadable.len()), (1, 0));
    assert!(circle.try_open("ben").is_err(), "he was seen to be left out this time");
    circle.assert_reads_all("ann");
    circle.assert_tidy();
}

/// The one who lost everything but the paper: the code opens, changes the keys, and is replaced.
#[test]
fn a_recovery_code_can_rekey() {
    let mut circle = Circle::of(&["ann", "ben"]);
    let code = circle.new_recovery("ann");
    circle.write("ann");
    let unlock = Unlock::Recovery(RecoveryCode::parse(&code).expect("a code"));
    let repository = circle.try_open_with(&unlock).expect("opens");
    let remove = ["ann", "ben"].map(|name| short_id(&circle, name)).to_vec();
    let options = RekeyOptions { remove, ..RekeyOptions::default() };
    let runtime = circle.runtime();
    let mut show = |code: &RecoveryCode| {
        circle.shown = Some(code.to_text().to_string());
        Ok(())
    };
    repository.rekey(&options, &mut show, &runtime).expect("rekeys");
    circle.write_in(&repository);
    assert!(circle.try_open_with(&unlock).is_err());
    circle.assert_shut_out("ann");
    let shown = circle.shown.as_ref().expect("was shown");
    let new = Unlock::Recovery(RecoveryCode::parse(shown).expect("a code"));
    let opened = circle.try_open_with(&new).expect("opens");
    circle.assert_reads(&opened);
    assert_eq!(opened.slots().expect("lists").len(), 1);
}

/// Sixteen times a slot gets new keys without its secret; after that its owner has to come.
#[test]
fn a_slot_that_was_rewrapped_too_often_needs_its_secret() {
    let mut circle = Circle::of(&["ann", "ben"]);
    circle.write("ann");
    for round in 0..16 {
        circle.rekey("ann", &[]).unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    let names = circle.names();
    let refused = circle.rekey("ann", &[]).expect_err("refused");
    assert!(refused.to_string().contains("16 times"), "{refused}");
    assert_eq!(circle.names(), names, "nothing was changed");
    // His own key can be written again, and then it is Ann's turn.
    assert!(circle.rekey("ben", &[]).expect_err("hers was, too").to_string().contains("16 times"));
    circle.rekey("ben", &["ann"]).expect("leaves hers out");
    circle.assert_reads_all("ben");
    for _ in 0..3 {
        circle.rekey("ben", &[]).expect("rekeys");
    }
    circle.assert_reads_all("ben");
    circle.assert_tidy();
}

/// Append-only storage: nothing is deleted, and said so; who was left out opens what was there
/// before, and nothing else.
#[test]
fn storage_that_keeps_everything_keeps_old_keys() {
    use larder::error::StorageErrorKind;
    use larder::storage::FaultStorage;
    use larder::storage::fault::On;

    let mut circle = Circle::of(&["ann", "ben", "eve"]);
    circle.write("ann");
    let keeping = FaultStorage::new(circle.storage.clone());
    keeping.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
    let repository = circle.open_on(std::sync::Arc::new(keeping), &key("ann")).expect("opens");
    let remove = vec![short_id(&circle, "eve")];
    let options = RekeyOptions { remove, ..RekeyOptions::default() };
    let report = repository.rekey(&options, &mut |_| Ok(()), &circle.runtime()).expect("rekeys");
    assert!(report.retained > 0);
    circle.write("ben");
    circle.assert_reads_all("ann");
    circle.assert_reads_all("ben");
    circle.assert_shut_out("eve");
    // She still opens it; the next rekey on storage that deletes ends that.
    assert!(circle.try_open("eve").is_ok());
    circle.rekey("ben", &[]).expect("rekeys");
    assert!(circle.try_open("eve").is_err());
    circle.assert_reads_all("ann");
    circle.assert_tidy();
}
