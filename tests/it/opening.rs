//! Repositories that are not what they should be, and things in them that are not theirs.

use std::sync::Arc;
use std::thread;

use larder::archive::backup;
use larder::crypto::Suite;
use larder::error::{Error, StorageErrorKind};
use larder::format::repo::RepoRecord;
use larder::repository::{LAYOUT, OpenOptions, Password, Repository, Unlock};
use larder::runtime::CancelToken;
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::{MemoryStorage, RetryPolicy, RetryStorage, Storage};

use crate::support::{Lab, LabOptions};

fn lab(seed: u64, suite: Suite) -> Lab {
    let options = LabOptions { suite, samples: false, entries: 8, ..LabOptions::default() };
    let mut lab = Lab::with(seed, options);
    lab.backup_named("before");
    lab
}

fn record(lab: &Lab) -> RepoRecord {
    let bytes = lab.memory.bytes("repo").expect("is there");
    RepoRecord::decode(&bytes, "here").expect("a record")
}

/// What goes wrong is named, has the documented exit code, and says what to try.
#[track_caller]
fn assert_clear(error: &Error, exit_code: u8, words: &str) {
    let text = error.to_string();
    assert!(text.contains(words), "`{text}` does not say `{words}`");
    assert_eq!(error.exit_code(), exit_code, "{text}");
    assert!(error.hint().is_some(), "no hint for `{text}`");
}

#[test]
fn a_wrong_password_is_told_from_no_password_and_no_repository() {
    let lab = lab(100, Suite::Aes256);
    let wrong = Unlock::Password(Password::new("wrong"));
    assert_clear(&lab.try_open_with(&wrong).err().expect("refused"), 12, "opens none of the 1");
    let nothing = lab.try_open_with(&Unlock::Nothing).err().expect("refused");
    assert_clear(&nothing, 12, "no password or key file was given");
    let empty = lab.on(MemoryStorage::new());
    assert_clear(&empty.try_open().err().expect("refused"), 10, "no repository at");
    assert_clear(&lab.try_init().err().expect("refused"), 1, "already a repository");
    lab.assert_all_whole("after all that");
}

/// Whatever is in the folder, `init` touches nothing that is not its own.
#[test]
fn init_leaves_other_peoples_files_alone() {
    for name in ["letters/mother.txt", "data/ab/abcd", "snapshots/ab/1", "index/x"] {
        let lab = Lab::empty(101, LabOptions { entries: 0, ..LabOptions::default() });
        lab.memory.replace(name, b"precious");
        assert!(lab.try_init().is_err(), "{name}");
        assert_eq!(lab.memory.names(), [name]);
    }
}

/// Two make a repository in the same place at the same time: one of them does, and can open it. The
/// other one is told, and leaves nothing. Once each took what the other had just written for the
/// leftovers of a crash, and the one that seemed to succeed had a repository without keys.
#[test]
fn of_two_inits_at_once_one_wins() {
    for round in 0..20 {
        let lab = Lab::empty(112 + round, LabOptions { entries: 0, ..LabOptions::default() });
        lab.slow_puts();
        let names = ["one", "other"];
        let unlock = |name: &str| Unlock::Password(Password::new(name));
        let won: Vec<bool> = thread::scope(|scope| {
            let init = |name| {
                let (options, open) = (lab.init_options(), OpenOptions::default());
                let storage = lab.storage.clone();
                let runtime = lab.runtime();
                let made = Repository::init(storage, &[unlock(name)], &options, &open, &runtime);
                match made {
                    Ok(_) => true,
                    Err(Error::RepositoryExists { .. } | Error::Damaged { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            };
            let threads = names.map(|name| scope.spawn(move || init(name)));
            threads.into_iter().map(|thread| thread.join().expect("ends")).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "round {round}");
        for (name, won) in names.iter().zip(won) {
            assert_eq!(lab.try_open_with(&unlock(name)).is_ok(), won, "round {round}: {name}");
        }
        assert_eq!(lab.memory.names().len(), 4, "{:?}", lab.memory.names());
    }
}

/// The repository was made, but the answer got lost, and the call is repeated.
#[test]
fn an_init_whose_last_answer_gets_lost_succeeds() {
    let lab = Lab::empty(133, LabOptions { entries: 0, ..LabOptions::default() });
    lab.storage.inject(Rule {
        on: On::Put,
        prefix: "repo".into(),
        nth: 1,
        times: 1,
        fault: Fault::LoseAnswer,
    });
    let (policy, cancel) = (RetryPolicy::default(), CancelToken::default());
    let retrying = RetryStorage::new(lab.storage.clone(), policy, cancel).with_wait(|_, _| {});
    let (options, open) = (lab.init_options(), lab.open_options());
    let unlocks = [lab.unlock()];
    let made = Repository::init(Arc::new(retrying), &unlocks, &options, &open, &lab.runtime());
    made.expect("makes a repository");
    lab.backup();
    lab.assert_all_whole("an answer got lost");
}

/// Storage went away in the middle of an `init`, and again while the next one tidied up.
#[test]
fn what_a_failed_init_leaves_is_no_damage() {
    let lab = Lab::empty(134, LabOptions { entries: 2, ..LabOptions::default() });
    let refuse = |on, prefix: &str| {
        let fault = Fault::Fail(StorageErrorKind::Denied);
        lab.storage.inject(Rule { on, prefix: prefix.into(), nth: 1, times: 99, fault });
    };
    refuse(On::Put, "repo");
    refuse(On::Delete, "");
    lab.try_init().err().expect("no signpost");
    lab.storage.heal();
    refuse(On::Delete, "");
    lab.try_init().expect("makes a repository");
    lab.storage.heal();
    lab.backup();
    let report = lab.try_check().expect("checks");
    assert!(report.is_clean(), "{report:?}");
    let leftovers = report.findings.iter().filter(|finding| finding.what.contains("a leftover"));
    assert_eq!(leftovers.count(), 3, "slot, keyring, configuration: {report:?}");
}

#[test]
fn newer_formats_and_other_drafts_are_refused_by_name() {
    let lab = lab(102, Suite::Aes256);
    let old = record(&lab);
    let newer = RepoRecord { format_version: 2, reader_min: 2, ..old.clone() };
    let draft = RepoRecord { draft: old.draft + 1, ..old.clone() };
    for record in [newer, draft] {
        lab.memory.replace("repo", &record.encode());
        let error = lab.try_open().err().expect("refused");
        assert!(matches!(error, Error::UnsupportedFormat { .. }), "{error}");
        assert_clear(&error, 1, "has format");
        assert!(lab.try_backup().is_err());
        assert!(lab.try_init().is_err(), "it is a repository all the same");
    }
    // A newer minor format that this program may read.
    let readable = RepoRecord { format_version: 2, ..old };
    lab.memory.replace("repo", &readable.encode());
    lab.assert_all_whole("of a newer version that can be read");
}

/// Somebody exchanges the signpost: the encrypted repository is not taken for a plain one, nor for
/// another one.
#[test]
fn a_forged_signpost_opens_nothing() {
    let lab = lab(103, Suite::Aes256);
    let true_record = record(&lab);
    let other = self::lab(104, Suite::Aes256);
    for forged in [
        RepoRecord { suite: 0, ..true_record.clone() },
        RepoRecord { suite: 7, ..true_record.clone() },
        RepoRecord { repo_id: record(&other).repo_id, ..true_record },
    ] {
        let hurt = lab.fork();
        hurt.memory.replace("repo", &forged.encode());
        let plain = hurt.try_open_with(&Unlock::Nothing);
        assert!(plain.is_err() && hurt.try_open().is_err(), "{forged:?}");
        assert!(hurt.try_backup().is_err(), "{forged:?}");
    }
}

/// A whole other repository, without encryption, in the place of the one that was here: whoever was
/// here before notices.
#[test]
fn a_repository_that_was_encrypted_is_not_replaced_unnoticed() {
    let lab = lab(105, Suite::Aes256);
    let plain = self::lab(106, Suite::None);
    for name in lab.memory.names() {
        lab.memory.remove(&name);
    }
    for name in plain.memory.names() {
        lab.memory.replace(&name, &plain.memory.bytes(&name).expect("is there"));
    }
    for unlock in [Unlock::Nothing, lab.unlock()] {
        let error = lab.try_open_with(&unlock).err().expect("refused");
        assert!(matches!(error, Error::Downgraded { .. }), "{error}");
    }
}

/// Files that are no objects, and objects of another repository under their right names, in every
/// folder: they are passed over or reported, and nothing of ours is worse for them.
#[test]
fn foreign_objects_harm_nothing() {
    let other = lab(107, Suite::Aes256);
    other.storage.fail_after_writes(2);
    let _ = other.try_backup();
    let mut lab = lab(108, Suite::Aes256);
    for folder in LAYOUT.iter().filter(|name| **name != "repo") {
        for name in ["foreign", "00/0", "README.TXT", "x-y-z", "..", "a/b/c/d/e"] {
            lab.memory.replace(&format!("{folder}/{name}"), b"this is no object");
        }
        let empty_hash = blake3::hash(b"").to_hex();
        lab.memory.replace(&format!("{folder}/{empty_hash}"), b"");
        lab.memory.replace(&format!("{folder}/00/{empty_hash}"), b"");
        lab.memory.replace(&format!("{folder}/00000009-{empty_hash}"), b"");
    }
    for name in other.memory.names().iter().filter(|name| *name != "repo") {
        lab.memory.replace(name, &other.memory.bytes(name).expect("is there"));
    }
    lab.assert_whole_beside_bad("among foreign objects");
    lab.tree().edit(5);
    lab.backup_named("among foreign objects");
    lab.assert_whole_beside_bad("among foreign objects");
    lab.assert_restores_beside_bad("among foreign objects");
    let report = lab.try_check().expect("checks");
    assert!(!report.findings.is_empty(), "nobody mentions them");
    assert!(report.hits.snapshots.is_empty(), "no snapshot is hit: {:?}", report.hits);
    let slots = lab.try_open().expect("opens").slots().expect("lists");
    assert_eq!(slots.len(), 1, "a key of another repository is no key of this one");
}

/// A repository on storage that takes no writes can still be read, checked and restored.
#[test]
fn storage_that_refuses_writes_can_be_read() {
    let lab = lab(109, Suite::Aes256);
    lab.storage.fail_times(On::Write, 1, u64::MAX, StorageErrorKind::Denied);
    lab.assert_all_whole("read-only");
    lab.assert_restores_identical("before");
    assert!(lab.try_check().expect("checks").is_clean());
    match lab.try_backup() {
        Err(Error::Storage(error)) => assert_eq!(error.kind, StorageErrorKind::Denied),
        other => panic!("{:?}", other.map(|report| report.stats)),
    }
}

/// Storage that refuses deletes, as append-only credentials do: backups and merges work all the
/// same.
#[test]
fn storage_that_refuses_deletes_takes_backups() {
    let mut lab = lab(110, Suite::Aes256);
    lab.storage.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
    for n in 0..3 {
        lab.tree().edit(3);
        lab.backup_named(&n.to_string());
    }
    lab.open().compact_index_beyond(1, &lab.runtime()).expect("merges");
    lab.tree().edit(3);
    lab.backup_named("after the merge");
    lab.assert_all_whole("append-only");
    assert!(lab.memory.names().iter().any(|name| name.ends_with(".end")), "sessions say their end");
    let report = lab.try_check().expect("checks");
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// Listings that show an old state, as some services give them: what was written meanwhile is
/// missed, never taken for lost.
#[test]
fn stale_listings_harm_nothing() {
    let mut lab = lab(111, Suite::Aes256);
    lab.storage.freeze_listings().expect("lists");
    lab.tree().edit(5);
    let repository = lab.try_open().expect("opens");
    backup(&repository, &lab.backup_options(), &lab.runtime()).expect("backs up");
    lab.tree().edit(5);
    let second = backup(&repository, &lab.backup_options(), &lab.runtime());
    lab.storage.heal();
    lab.assert_remembered_whole("stale listings");
    if let Ok(report) = second {
        lab.remember("second", &report);
    }
    lab.backup_named("after");
    lab.assert_all_whole("stale listings");
    assert!(lab.memory.head("repo").is_ok());
}
