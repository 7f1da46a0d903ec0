//! The machine stops at any write, to any of the three places.

use larder::crypto::Suite;
use larder::error::Result;
use larder::format::log::LogKind;
use larder::model::Place;
use larder::prune::{self, MaxUnused, PruneOptions};
use larder::repository::{Author, RekeyOptions};

use super::trio::Trio;
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

fn add_mirror(trio: &Trio) -> Result<()> {
    let repository = trio.try_open()?;
    repository.add_place(&Place::mirror("m3", "memory:m3"), &trio.lab.runtime())?;
    repository.remove_place("m3", &trio.lab.runtime()).map(drop)
}

/// Stops an act after every write: each place alone is sound then; done again, and with one more
/// backup, all have the same.
fn stop_everywhere(before: &Trio, name: &str, act: &dyn Fn(&Trio) -> Result<()>) {
    let whole = before.fork();
    whole.slow_puts();
    act(&whole).unwrap_or_else(|error| panic!("{name}: {error}"));
    let writes = whole.record.writes();
    whole.assert_equal(name);
    let states = crash_states(&writes);
    let states: Vec<_> = states.iter().filter(|state| state.torn.is_none()).collect();
    assert!(states.len() > 3, "{name}: {} states", states.len());
    let step = (states.len() as u64 / rounds(60, u64::MAX)).max(1) as usize;
    for (number, state) in states.iter().enumerate() {
        if number % step != 0 {
            continue;
        }
        let what = format!("{name} {}", state.describe(&writes));
        let trio = before.after(state, &writes);
        for place in 0..3 {
            trio.assert_sound(place, &what);
        }
        act(&trio).unwrap_or_else(|error| panic!("{what}: again: {error}"));
        let report = trio.try_backup().unwrap_or_else(|error| panic!("{what}: backup: {error}"));
        assert!(!report.is_degraded(), "{what}: {:?}", report.mirrors);
        for place in 0..3 {
            trio.assert_sound(place, &format!("{what}, done again"));
            let (there, primary) = (trio.names(place), trio.names(0));
            let lacks: Vec<_> = primary.difference(&there).collect();
            assert!(lacks.is_empty(), "{what}: {place} lacks {lacks:?}");
        }
    }
}

#[test]
fn a_backup_stopped_anywhere_leaves_three_repositories() {
    let mut trio = Trio::new(11, Suite::None);
    trio.backup_named("one");
    trio.lab.tree().edit(4);
    stop_everywhere(&trio, "backup", &|trio| trio.try_backup().map(drop));
}

#[test]
fn forgetting_and_pruning_stopped_anywhere_leave_three_repositories() {
    let mut trio = Trio::new(12, Suite::None);
    trio.backup_named("one");
    trio.lab.tree().edit(4);
    trio.backup_named("two");
    stop_everywhere(&trio, "forget", &|trio| forget(trio, "one"));
    forget(&trio, "one").expect("forgets");
    stop_everywhere(&trio, "prune", &prune);
}

#[test]
fn a_rekey_stopped_anywhere_leaves_three_repositories() {
    let mut trio = Trio::new(13, Suite::Aes256);
    trio.backup_named("one");
    stop_everywhere(&trio, "rekey", &rekey);
    stop_everywhere(&trio, "mirror add", &add_mirror);
}
