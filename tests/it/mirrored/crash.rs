//! The machine stops at any write, to any of the three places.

use larder::crypto::Suite;
use larder::error::{Result, StorageErrorKind};
use larder::format::log::LogKind;
use larder::manager::{Mirrors, NewMirror};
use larder::model::MirrorPolicy;
use larder::prune::{self, MaxUnused, PruneOptions};
use larder::repository::{Author, RekeyOptions};
use larder::storage::fault::On;
use larder::storage::record::Write;

use super::trio::{PLACES, Trio};
use crate::rounds;
use crate::support::crash_states;

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

pub(super) fn forget(trio: &Trio, name: &str) -> Result<()> {
    let repository = trio.try_open()?;
    let list = repository.snapshots()?;
    list.check_history(false)?;
    let id = trio.lab.id_of(name);
    let Some(snapshot) = list.snapshots.iter().find(|s| s.id == id) else { return Ok(()) };
    let (kind, runtime) = (LogKind::Forget, trio.lab.runtime());
    repository.append_about(kind, &[snapshot], "", &author(), &list, &runtime)?;
    Ok(())
}

pub(super) fn prune(trio: &Trio) -> Result<()> {
    let repository = trio.try_open()?;
    let options = PruneOptions {
        grace_ms: 0,
        ignore_lease: true,
        max_unused: MaxUnused::Percent(0.0),
        ..PruneOptions::new(author())
    };
    prune::run(&repository, &options, &trio.lab.runtime()).map(drop)
}

fn rekey(trio: &Trio) -> Result<()> {
    let repository = trio.try_open()?;
    repository.rekey(&RekeyOptions::default(), &mut |_| Ok(()), &trio.lab.runtime())?;
    Ok(())
}

/// Adds and fills a third mirror, as the command does; if it stands there already, what a user
/// would do then.
fn add_mirror(trio: &Trio) -> Result<()> {
    let repository = trio.try_open()?;
    if repository.places().find("m3").is_some() {
        return sync(trio);
    }
    let (name, location, no_sync) = ("m3".into(), "memory:m3".into(), false);
    let new = NewMirror { name, location, no_sync };
    Mirrors::of(&repository, trio.connector()).add(&new, &trio.lab.runtime()).map(drop)
}

fn remove_mirror(trio: &Trio) -> Result<()> {
    let repository = trio.try_open()?;
    match repository.places().find("m2") {
        Some(_) => {
            Mirrors::of(&repository, trio.connector()).remove("m2", &trio.lab.runtime()).map(drop)
        }
        None => Ok(()),
    }
}

fn sync(trio: &Trio) -> Result<()> {
    let repository = trio.try_open()?;
    let mirrors = Mirrors::of(&repository, trio.connector()).filling_empty(true);
    for synced in mirrors.sync(&[], false, &trio.lab.runtime())? {
        assert!(synced.outcome?.is_complete(), "{}", synced.name);
    }
    Ok(())
}

/// Stops an act after every write: each place alone is sound then; done again, and with one more
/// backup, all have the same.
fn stop_everywhere(before: &Trio, name: &str, act: &dyn Fn(&Trio) -> Result<()>) {
    let whole = before.fork();
    whole.slow_puts();
    act(&whole).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_complete(&whole, name);
    stop_at(before, &whole.record.writes(), name, act);
}

/// The same while `m2` is away; it is back when the act is done again.
fn stop_everywhere_without_m2(before: &Trio, name: &str, act: &dyn Fn(&Trio) -> Result<()>) {
    let whole = before.fork();
    whole.slow_puts();
    whole.faults[2].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    act(&whole).unwrap_or_else(|error| panic!("{name}: {error}"));
    stop_at(before, &whole.record.writes(), &format!("{name} without m2"), act);
}

fn stop_at(before: &Trio, writes: &[Write], name: &str, act: &dyn Fn(&Trio) -> Result<()>) {
    let states = crash_states(writes);
    let states: Vec<_> = states.iter().filter(|state| state.torn.is_none()).collect();
    assert!(states.len() > 3, "{name}: {} states", states.len());
    let step = (states.len() as u64 / rounds(40, u64::MAX)).max(1) as usize;
    for state in states.into_iter().step_by(step) {
        let what = format!("{name} {}", state.describe(writes));
        let trio = before.after(state, writes);
        for place in 0..PLACES.len() {
            // What has no `repo` yet is opened by nobody.
            if trio.names(place).contains("repo") {
                trio.assert_sound(place, &what);
            }
        }
        act(&trio).unwrap_or_else(|error| panic!("{what}: again: {error}"));
        let report = trio.try_backup().unwrap_or_else(|error| panic!("{what}: backup: {error}"));
        assert!(!report.is_degraded(), "{what}: {:?}", report.mirrors);
        assert_complete(&trio, &format!("{what}, done again"));
    }
}

/// Every mirror is sound alone and lacks nothing.
fn assert_complete(trio: &Trio, what: &str) {
    let primary = trio.names(0);
    for place in trio.members() {
        trio.assert_sound(place, what);
        let there = trio.names(place);
        let lacks: Vec<_> = primary.difference(&there).collect();
        assert!(lacks.is_empty(), "{what}: {} lacks {lacks:?}", PLACES[place]);
    }
}

/// Two snapshots, the first of which is forgotten, with data that only it needs.
fn with_a_forgotten_one(seed: u64, suite: Suite) -> Trio {
    let mut trio = Trio::new(seed, suite);
    trio.lab.tree().add_noise("of the first", 100_000);
    trio.backup_named("one");
    std::fs::remove_file(trio.lab.tree().path("of the first")).expect("removes a file");
    trio.lab.tree().edit(4);
    trio.backup_named("two");
    forget(&trio, "one").expect("forgets");
    trio
}

#[test]
fn a_backup_stopped_anywhere_leaves_three_repositories() {
    let mut trio = Trio::new(11, Suite::None);
    trio.backup_named("one");
    trio.lab.tree().edit(4);
    let backup = |trio: &Trio| trio.try_backup().map(drop);
    stop_everywhere(&trio, "backup", &backup);
    stop_everywhere_without_m2(&trio, "backup", &backup);
}

#[test]
fn a_forget_stopped_anywhere_leaves_three_repositories() {
    let mut trio = Trio::new(12, Suite::None);
    trio.backup_named("one");
    trio.lab.tree().edit(4);
    trio.backup_named("two");
    stop_everywhere(&trio, "forget", &|trio| forget(trio, "one"));
}

#[test]
fn a_prune_stopped_anywhere_leaves_three_repositories() {
    let trio = with_a_forgotten_one(14, Suite::None);
    stop_everywhere(&trio, "prune", &prune);
    stop_everywhere_without_m2(&trio, "prune", &prune);
}

#[test]
fn a_rekey_stopped_anywhere_leaves_three_repositories() {
    let mut trio = Trio::new(13, Suite::Aes256);
    trio.backup_named("one");
    stop_everywhere(&trio, "rekey", &rekey);
    stop_everywhere_without_m2(&trio, "rekey", &rekey);
}

/// A place becomes a mirror when it is complete, and nothing is there before.
#[test]
fn adding_and_removing_mirrors_may_stop_anywhere() {
    let mut trio = Trio::new(15, Suite::None);
    trio.backup_named("one");
    stop_everywhere(&trio, "mirror add", &add_mirror);
    stop_everywhere(&trio, "mirror remove", &remove_mirror);
}

/// What is to be made up for: two snapshots at both mirrors, and deletes at one of them.
#[test]
fn a_sync_stopped_anywhere_leaves_three_repositories() {
    let mut trio = with_a_forgotten_one(16, Suite::Aes256);
    trio.faults[2].fail_times(On::Any, 1, u64::MAX, StorageErrorKind::Denied);
    prune(&trio).expect("prunes");
    trio.faults[2].heal();
    trio.policy = Some(MirrorPolicy::Async);
    trio.lab.tree().edit(4);
    trio.backup_named("three");
    // So that storage's times are to be written down, too.
    trio.lab.clock.advance_ms(24 * 3_600_000);
    trio.policy = None;
    let debts = trio.open().debts().expect("lists");
    assert!(debts.iter().any(|debt| !debt.deletes.is_empty()));
    stop_everywhere(&trio, "mirror sync", &sync);
    sync(&trio).expect("syncs");
    trio.assert_equal("synced");
    assert_eq!(trio.open().debts().expect("lists"), []);
}
