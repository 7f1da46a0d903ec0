//! A rekey that stops at any write: everybody who is to stay opens everything, and it can be run
//! again, by the same person or another.

use std::sync::Arc;

use larder::crypto::{RecoveryCode, Suite};
use larder::error::Error;
use larder::repository::{RekeyOptions, Repository, Unlock};
use larder::storage::record::Write;
use larder::storage::{RecordStorage, SharedStorage};

use super::circle::{Circle, key, short_id};
use crate::rounds;
use crate::support::{CrashState, crash_states};

struct Run {
    before: Circle,
    old_code: String,
    eve: String,
    writes: Vec<Write>,
}

/// A rekey by Ann that shuts Eve out, with every write it makes.
fn record(opened_with_code: bool) -> Run {
    let mut before = Circle::of(&["ann", "ben", "cem", "eve"]);
    let old_code = before.new_recovery("ann");
    before.write("ann");
    before.write("eve");
    let eve = short_id(&before, "eve");
    let run = before.fork();
    let storage = RecordStorage::keeping_writes(Arc::clone(&run.storage) as SharedStorage);
    let storage = Arc::new(storage);
    let unlock = if opened_with_code { code(&old_code) } else { key("ann") };
    let shared = Arc::clone(&storage) as SharedStorage;
    let repository = run.open_on(shared, &unlock).expect("opens");
    rekey(&run, &repository, &eve).expect("rekeys");
    Run { before, old_code, eve, writes: storage.writes() }
}

fn code(text: &str) -> Unlock {
    Unlock::Recovery(RecoveryCode::parse(text).expect("a code"))
}

fn rekey(circle: &Circle, repository: &Repository, eve: &str) -> Result<String, Error> {
    rekey_without(circle, repository, &[eve])
}

/// Leaves out those of `remove` that still have a slot; returns the new recovery code.
fn rekey_without(
    circle: &Circle,
    repository: &Repository,
    remove: &[&str],
) -> Result<String, Error> {
    let slots = repository.slots()?;
    let has_slot = |id: &&&str| slots.iter().any(|slot| slot.id.to_string() == **id);
    let remove = remove.iter().filter(has_slot).map(|id| (*id).to_owned()).collect();
    let mut shown = String::new();
    let mut show = |code: &RecoveryCode| {
        shown = code.to_text().to_string();
        Ok(())
    };
    let options = RekeyOptions { remove, ..RekeyOptions::default() };
    repository.rekey(&options, &mut show, &circle.runtime())?;
    Ok(shown)
}

impl Run {
    fn after(&self, state: &CrashState) -> Circle {
        let storage = self.before.storage.fork();
        state.apply(&self.writes, &storage);
        self.before.on(storage)
    }
}

/// In the state that a crash left: who is to stay opens, reads and writes; the new keys are not
/// Eve's. Then Ann runs it again, and all is as if it had not been interrupted.
#[test]
fn an_interrupted_rekey_locks_nobody_out_and_can_be_repeated() {
    let run = record(false);
    let kept = ["ann", "ben", "cem"];
    for state in crash_states(&run.writes) {
        let what = state.describe(&run.writes);
        let mut circle = run.after(&state);
        for name in kept {
            circle.assert_reads_all(name);
        }
        for name in ["ann", "cem"] {
            circle.write(name);
        }
        for name in kept {
            circle.assert_reads_all(name);
        }
        let repository = circle.open("ann");
        let shown = rekey(&circle, &repository, &run.eve);
        let shown = shown.unwrap_or_else(|error| panic!("{what}: {error}"));
        circle.write_in(&repository);
        circle.write("ben");
        for name in kept {
            circle.assert_reads_all(name);
        }
        circle.assert_reads(&circle.try_open_with(&code(&shown)).expect(&what));
        assert!(circle.try_open_with(&code(&run.old_code)).is_err(), "{what}");
        assert!(circle.try_open("eve").is_err(), "{what}");
        assert_nothing_lost(&circle, &what);
    }
}

/// The same, repeated by somebody else. If Ann's new keys reached some but not him, he is told, and
/// can shut Ann out.
#[test]
fn somebody_else_can_go_on_after_an_interrupted_rekey() {
    let run = record(false);
    let ann = short_id(&run.before, "ann");
    let mut refusals = 0;
    for state in crash_states(&run.writes) {
        let what = state.describe(&run.writes);
        let mut circle = run.after(&state);
        let repository = circle.open("cem");
        match rekey(&circle, &repository, &run.eve) {
            Ok(_) => {
                circle.assert_reads_all("ann");
            }
            Err(Error::KeysUnsettled { what: text, .. }) => {
                refusals += 1;
                assert!(text.contains(&ann[..8]), "{text}");
                // Ben may have Ann's new keys already.
                let ben = short_id(&circle, "ben");
                let all: &[&str] = match text.contains(&ben[..8]) {
                    true => &[&run.eve, &ann, &ben],
                    false => &[&run.eve, &ann],
                };
                rekey_without(&circle, &repository, all)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(circle.try_open("ann").is_err(), "{what}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
        circle.write("cem");
        circle.assert_reads_all("cem");
        assert!(circle.try_open("eve").is_err(), "{what}");
    }
    assert!(refusals > 2, "{refusals}");
}

/// Nobody has anything left but the code from the drawer, and the machine stops.
#[test]
fn an_interrupted_rekey_with_the_recovery_code_locks_nobody_out() {
    let run = record(true);
    let states = crash_states(&run.writes);
    for (number, state) in states.iter().enumerate() {
        let what = state.describe(&run.writes);
        let mut circle = run.after(state);
        for name in ["ann", "ben"] {
            circle.assert_reads_all(name);
        }
        // Once it has the successor, which was shown then, the code may be gone.
        match circle.try_open_with(&code(&run.old_code)) {
            Ok(repository) => {
                circle.assert_reads(&repository);
                if !(number as u64).is_multiple_of(rounds(2, 1)) {
                    continue;
                }
                rekey(&circle, &repository, &run.eve)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                circle.write_in(&repository);
                circle.assert_reads_all("ben");
                assert!(circle.try_open("eve").is_err(), "{what}");
            }
            Err(error) => {
                let first = run.writes.iter().position(|write| write.bytes.is_none());
                let deleting = state.done.iter().any(|n| Some(*n) >= first);
                assert!(deleting, "{what}: {error}");
            }
        }
    }
}

/// Keyrings and slots of before are gone, but for an orphan that nothing leads to.
fn assert_nothing_lost(circle: &Circle, what: &str) {
    let repository = circle.open("ann");
    assert_eq!(repository.suite(), Suite::Aes256);
    let names = circle.names();
    let count = |folder: &str| names.iter().filter(|name| name.starts_with(folder)).count();
    // A torn object is left where it is: nobody knows whose it was. If it is a slot, the keyring
    // that it may lead to stays, too.
    let torn_slots = repository.slots_and_bad().expect("lists").1.len();
    assert!(count("keyring/") <= 2 + torn_slots, "{what}: {names:?}");
    assert!(count("config/") <= 2, "{what}: {names:?}");
    assert!(count("keys/") <= 5, "{what}: {names:?}");
}

/// What an attempt left that was interrupted at once is cleaned up by a later rekey.
#[test]
fn an_orphaned_keyring_is_deleted_when_it_is_old() {
    let run = record(false);
    assert!(run.writes[0].name.starts_with("keyring/"), "it comes first");
    let state = CrashState { done: vec![0], torn: None };
    let mut circle = run.after(&state);
    circle.rekey("ben", &[]).expect("rekeys");
    assert!(circle.names().contains(&run.writes[0].name), "it may be at work");
    circle.wait_ms(25 * 3_600_000);
    circle.rekey("ben", &[]).expect("rekeys");
    circle.assert_tidy();
}

/// The order of writes that all of this rests on.
#[test]
fn the_order_of_writes_is_that_of_the_specification() {
    let run = record(false);
    let order: Vec<String> = run
        .writes
        .iter()
        .map(|write| {
            let folder = write.name.split('/').next().unwrap_or_default();
            let verb = if write.bytes.is_some() { "put" } else { "delete" };
            format!("{verb} {folder}")
        })
        .collect();
    let puts = ["keyring", "keys", "keys", "keys", "keys", "keyring", "config"];
    let expected: Vec<String> = puts.iter().map(|folder| format!("put {folder}")).collect();
    assert_eq!(order[..expected.len()], expected);
    assert!(order[expected.len()..].iter().all(|step| step.starts_with("delete")), "{order:?}");
}
