//! Packs that cannot be read at once: exactly what a restore needs is asked for, once.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use larder::error::Error;
use larder::manager::{WarmUpBy, WarmUpCommand, WarmUpWait, look, refuse_cold, warm_up};
use larder::prune::{MaxUnused, PruneOptions, run};
use larder::repository::{Author, Repository};
use larder::restore::{RestoreOptions, all_packs, needed_packs};
use larder::storage::record::Operation;
use larder::storage::{SharedStorage, WarmUpRequest, WarmUpTier};

use crate::support::{Lab, LabOptions, Vault};

fn lab(seed: u64) -> Lab {
    let mut lab = Lab::with(seed, LabOptions { entries: 60, ..LabOptions::default() });
    for version in 0..3 {
        lab.tree().edit(15);
        let bytes = larder::runtime::Random::seeded(seed + version).bytes::<300_000>().to_vec();
        std::fs::write(lab.tree().path("big"), bytes).expect("writes");
        lab.backup_named(&format!("version {version}"));
    }
    lab
}

fn cold(lab: &Lab) -> Arc<Vault> {
    let vault = Vault::new(lab.storage.clone(), lab.clock.clone(), 0);
    Arc::new(Vault { is_cold: true, ..vault })
}

fn open(lab: &Lab, storage: SharedStorage) -> Repository {
    let opened = Repository::open(storage, &lab.unlock(), &lab.open_options(), &lab.runtime());
    let repository = opened.expect("opens");
    assert!(repository.load_index().expect("loads the index").is_empty());
    repository
}

fn subtree(lab: &Lab) -> RestoreOptions {
    let folder = lab.source().as_os_str().as_bytes()[1..].to_vec();
    RestoreOptions { subtree: Some(folder), ..RestoreOptions::default() }
}

const REQUEST: WarmUpBy = WarmUpBy::Request(WarmUpRequest { days: 3, tier: WarmUpTier::Standard });
const WAIT: WarmUpWait = WarmUpWait { poll: Duration::from_millis(1), limit: None };

/// What is found needed is what a restore reads, to the pack.
#[test]
fn needed_packs_are_those_that_a_restore_reads() {
    let lab = lab(491);
    let repository = lab.open();
    let all = all_packs(&repository).expect("lists");
    let mut seen = BTreeSet::new();
    for name in ["version 0", "version 2"] {
        let (snapshot, _) = lab.remembered(&repository, name);
        let needed = needed_packs(&repository, &snapshot, &subtree(&lab), &lab.runtime());
        let needed: Vec<String> =
            needed.expect("plans").into_iter().map(|pack| pack.name).collect();
        lab.record.clear();
        lab.restore(&lab.open(), &snapshot).expect("restores");
        let read: BTreeSet<String> = lab
            .record
            .calls()
            .into_iter()
            .filter(|call| call.operation == Operation::GetRange && call.name.starts_with("data/"))
            .map(|call| call.name)
            .collect();
        assert_eq!(needed, read.into_iter().collect::<Vec<_>>(), "{name}");
        assert!(!needed.is_empty() && needed.len() < all.len(), "{name}: {}", all.len());
        seen.extend(needed);
    }
    assert!(seen.iter().all(|name| all.iter().any(|pack| pack.name == *name)));
    // A part of the snapshot needs a part of the packs.
    let (snapshot, _) = lab.remembered(&repository, "version 2");
    let mut one = subtree(&lab);
    one.subtree = Some(lab.tree().path("big").as_os_str().as_bytes()[1..].to_vec());
    let few = needed_packs(&repository, &snapshot, &one, &lab.runtime()).expect("plans");
    let every = needed_packs(&repository, &snapshot, &subtree(&lab), &lab.runtime());
    assert!(few.len() < every.expect("plans").len() && !few.is_empty());
}

#[test]
fn what_is_cold_is_asked_for_once_and_waited_for() {
    let lab = lab(492);
    let vault = cold(&lab);
    let repository = open(&lab, vault.clone());
    let (snapshot, _) = lab.remembered(&repository, "version 1");
    let runtime = lab.runtime();
    let packs = || needed_packs(&repository, &snapshot, &subtree(&lab), &runtime);
    let refused = refuse_cold(&repository, packs, "`warm it`", &runtime).expect_err("cold");
    let count = packs().expect("plans").len() as u64;
    assert!(refused.to_string().contains(&format!("{count} of the {count} packs")), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("`warm it`")), "{refused:?}");
    assert_eq!(refused.exit_code(), 1);

    let found = look(&repository, &packs().expect("plans"), &runtime).expect("looks");
    assert_eq!((found.cold.packs, found.coming.packs, found.is_known), (count, 0, true));
    let report = warm_up(&repository, &found, &REQUEST, None, &runtime).expect("asks");
    assert_eq!((report.asked.packs, report.missing.packs), (count, count));
    let log = vault.take_log();
    assert_eq!(log.len() as u64, count);
    assert!(log.iter().all(|line| line.ends_with("3 Standard")), "{log:?}");

    // Interrupted, and run again: what is on its way is not asked for again.
    let found = look(&repository, &packs().expect("plans"), &runtime).expect("looks");
    assert_eq!((found.cold.packs, found.coming.packs), (0, count));
    let report = warm_up(&repository, &found, &REQUEST, Some(WAIT), &runtime).expect("waits");
    assert_eq!((report.asked.packs, report.missing.packs), (0, 0));
    assert_eq!(vault.take_log(), [""; 0]);
    refuse_cold(&repository, packs, "", &runtime).expect("it can be read");
    lab.restore(&repository, &snapshot).expect("restores");
    let rest = all_packs(&repository).expect("lists");
    assert!(look(&repository, &rest, &runtime).expect("looks").cold.packs > 0);
}

#[test]
fn waiting_ends_when_it_was_long_enough() {
    let lab = lab(493);
    let vault = Arc::new(Vault {
        is_cold: true,
        looks: u32::MAX,
        ..Vault::new(lab.storage.clone(), lab.clock.clone(), 0)
    });
    let repository = open(&lab, vault);
    let runtime = larder::runtime::Runtime::default();
    let found = look(&repository, &all_packs(&repository).expect("lists"), &runtime);
    let found = found.expect("looks");
    let short = WarmUpWait { limit: Some(Duration::from_millis(30)), ..WAIT };
    let report = warm_up(&repository, &found, &REQUEST, Some(short), &runtime).expect("gives up");
    assert_eq!(report.missing, found.needed);
    let cancelled = larder::runtime::Runtime::default();
    cancelled.cancel.cancel();
    let stopped = warm_up(&repository, &found, &REQUEST, Some(WAIT), &cancelled);
    assert!(matches!(stopped, Err(Error::Cancelled { .. })), "{stopped:?}");
}

/// Storage that says nothing: the user's command asks, and a time is waited for.
#[test]
fn a_command_asks_where_storage_cannot() {
    let lab = lab(494);
    let repository = lab.open();
    let runtime = larder::runtime::Runtime::default();
    let packs = all_packs(&repository).expect("lists");
    refuse_cold(&repository, || Ok(packs.clone()), "", &runtime).expect("nothing is known of it");
    let found = look(&repository, &packs, &runtime).expect("looks");
    assert_eq!((found.cold, found.is_known), (found.needed, false));
    let error = warm_up(&repository, &found, &REQUEST, None, &runtime).expect_err("takes none");
    assert!(error.hint().is_some_and(|hint| hint.contains("--warm-up-command")), "{error:?}");
    let out = lab.scratch("names");
    let command = format!("cat {{file}} > '{}'", out.display());
    let by = WarmUpBy::Command(WarmUpCommand::new(&command).expect("a command"));
    let wait = WarmUpWait { limit: Some(Duration::from_millis(5)), ..WAIT };
    let report = warm_up(&repository, &found, &by, Some(wait), &runtime).expect("asks");
    assert_eq!(report.missing.packs, 0);
    let names: Vec<String> = packs.into_iter().map(|pack| pack.name + "\n").collect();
    assert_eq!(std::fs::read_to_string(out).expect("written"), names.concat());
}

/// Backups, forgets and prunes never read what is cold; a prune takes what is wholly dead.
#[test]
fn prunes_leave_cold_packs_unless_they_are_dead() {
    let lab = lab(495);
    let vault = cold(&lab);
    let repository = open(&lab, vault.clone());
    let author = Author { host: "lab".into(), user: "tester".into() };
    let list = repository.snapshots().expect("lists");
    let gone: Vec<_> = list.snapshots.iter().take(2).collect();
    let kind = larder::format::log::LogKind::Forget;
    repository.append_about(kind, &gone, "test", &author, &list, &lab.runtime()).expect("forgets");
    lab.record.clear();
    let at_once =
        PruneOptions { grace_ms: 0, max_unused: MaxUnused::Bytes(0), ..PruneOptions::new(author) };
    let report = run(&repository, &at_once, &lab.runtime()).expect("prunes");
    assert!(report.deleted.packs > 0, "{report:?}");
    assert_eq!(lab.record.count(Operation::Get, "data/"), 0);
    assert_eq!(lab.record.count(Operation::GetRange, "data/"), 0);
    // Told to, it packs them anew, once they can be read.
    let warm = run(&lab.open(), &at_once, &lab.runtime()).expect("prunes");
    assert!(warm.written.packs > 0, "{warm:?}");
    lab.assert_restores_identical("version 2");
}
