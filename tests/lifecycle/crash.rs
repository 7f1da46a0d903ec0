//! Forget, undelete and prune, stopped at any write and failing at any call.
//!
//! Each is run once on a copy of a repository; then again and again, stopped after every write that
//! it made (in every order that the disk may have seen), or with one call that fails. Whatever is
//! left: the repository opens, nothing is damaged, every snapshot that nobody forgot is whole, and
//! the same thing done again gets to its end.

use larder::commit::undelete;
use larder::crypto::Suite;
use larder::error::{Result, StorageErrorKind};
use larder::format::log::LogKind;
use larder::prune::{self, MaxUnused, PruneOptions, PruneReport};
use larder::repository::Author;
use larder::storage::fault::{Fault, On, Rule};
use larder::verify::{CheckOptions, check};

use crate::is_long;
use crate::support::{Lab, LabOptions, crash_states};

type Then = dyn Fn(&Lab, &str);

/// Something that is stopped in the middle.
struct Act<'a> {
    name: &'a str,
    run: &'a dyn Fn(&Lab) -> Result<()>,
    /// Snapshots that nobody forgets.
    kept: &'a [&'a str],
    /// Snapshots that are there or not, and whole if they are.
    open: &'a [&'a str],
    /// What has to be possible whatever is left.
    then: Option<&'a Then>,
}

pub(crate) fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

pub(crate) fn lab(seed: u64) -> Lab {
    let suite = Suite::None;
    Lab::with(seed, LabOptions { suite, samples: false, entries: 4, ..LabOptions::default() })
}

fn forget(lab: &Lab, name: &str) -> Result<()> {
    let repository = lab.try_open()?;
    let list = repository.snapshots()?;
    list.check_history(false)?;
    let id = lab.id_of(name);
    let Some(snapshot) = list.snapshots.iter().find(|s| s.id == id) else { return Ok(()) };
    let kind = LogKind::Forget;
    repository.append_about(kind, &[snapshot], "", &author(), &list, &lab.runtime())?;
    Ok(())
}

fn take_back(lab: &Lab, name: &str) -> Result<()> {
    let repository = lab.try_open()?;
    let list = repository.snapshots()?;
    let id = lab.id_of(name);
    let Some(forgotten) = list.forgotten.iter().find(|f| f.snapshot.id == id) else {
        return Ok(());
    };
    undelete(&repository, &[forgotten], &|_| true, &author(), &list, &lab.runtime())?;
    Ok(())
}

impl Act<'_> {
    /// What is left opens, is undamaged, and has all that nobody forgot.
    fn assert_left(&self, lab: &Lab, what: &str) {
        let what = format!("{} {what}", self.name);
        let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let bad = repository.load_index().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(bad.is_empty(), "{what}: {bad:?}");
        let list = repository.snapshots().expect("lists snapshots");
        assert!(list.bad.is_empty() && list.rollback.is_empty(), "{what}: {list:?}");
        for (name, id, tree) in lab.all_remembered() {
            let found = list.snapshots.iter().find(|snapshot| snapshot.id == id);
            assert!(found.is_some() || !self.kept.contains(&name), "{what}: `{name}` is gone");
            if let Some(snapshot) = found {
                assert!(!snapshot.suspect, "{what}: `{name}` is suspect");
                let read = lab.read(&repository, snapshot);
                let read = read.unwrap_or_else(|error| panic!("{what}: `{name}`: {error}"));
                tree.assert_same(&read, format!("{what}: {name}"));
            }
        }
        for snapshot in &list.snapshots {
            let name = lab.all_remembered().find(|(_, id, _)| *id == snapshot.id);
            let name = name.map_or("", |(name, _, _)| name);
            let is_known = self.kept.contains(&name) || self.open.contains(&name);
            assert!(is_known || snapshot.body.original.is_some(), "{what}: `{name}` is there");
        }
        let report = check(&repository, &CheckOptions::default(), &lab.runtime());
        let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(report.is_clean(), "{what}: {:?}", report.findings);
    }

    fn assert_goes_on(&self, lab: &Lab, what: &str) {
        (self.run)(lab).unwrap_or_else(|error| panic!("{} {what}: again: {error}", self.name));
        self.assert_left(lab, &format!("{what}, done again"));
        if let Some(then) = self.then {
            then(lab, &format!("{} {what}", self.name));
            self.assert_left(lab, &format!("{what}, brought to an end"));
        }
    }

    /// Stops after every write, in every order that the disk may have seen.
    fn stop_everywhere(&self, before: &Lab) {
        let whole = before.fork();
        whole.slow_puts();
        (self.run)(&whole).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let writes = whole.record.writes();
        assert!(!writes.is_empty(), "{}: it wrote something", self.name);
        self.assert_left(&whole, "that nobody stopped");
        for state in crash_states(&writes).iter().filter(|state| state.torn.is_none()) {
            let what = state.describe(&writes);
            let storage = before.memory.fork();
            state.apply(&writes, &storage);
            let lab = before.on(storage);
            self.assert_left(&lab, &what);
            self.assert_goes_on(&lab, &what);
        }
    }

    /// One call fails, each in turn.
    fn fail_everywhere(&self, before: &Lab) {
        let counting = before.fork();
        (self.run)(&counting).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        use StorageErrorKind::{Missing, Permanent, Temporary};
        let kinds = [Temporary, Permanent, Missing];
        let calls = counting.storage.calls(On::Any);
        for nth in (1..=calls).step_by(if is_long() { 1 } else { 2 }) {
            for (number, kind) in (0..).zip(kinds) {
                if is_long() || nth % 3 == number {
                    self.fail(before, On::Any, nth, Fault::Fail(kind));
                }
            }
        }
        for nth in 1..=counting.storage.calls(On::Write) {
            self.fail(before, On::Write, nth, Fault::LoseAnswer);
        }
    }

    fn fail(&self, before: &Lab, on: On, nth: u64, fault: Fault) {
        let what = format!("with {fault:?} at call {nth} of {on:?}");
        let lab = before.fork();
        lab.storage.inject(Rule { on, prefix: String::new(), nth, times: 1, fault });
        if let Err(error) = (self.run)(&lab) {
            assert!(error.to_string().len() > 10, "{what}: {error}");
        }
        lab.storage.heal();
        self.assert_left(&lab, &what);
        self.assert_goes_on(&lab, &what);
    }
}

const HOUR_MS: i64 = 3_600_000;

/// A run of prune, long after what came before.
fn prune_later(lab: &Lab) -> Result<PruneReport> {
    lab.clock.advance_ms(30 * HOUR_MS);
    let options = PruneOptions {
        grace_ms: 24 * HOUR_MS,
        max_unused: MaxUnused::Bytes(0),
        ..PruneOptions::new(author())
    };
    prune::run(&lab.try_open()?, &options, &lab.runtime())
}

/// Prunes until nothing is left to do.
fn prune_to_the_end(lab: &Lab, what: &str) {
    for round in 0.. {
        assert!(round < 8, "{what}: prunes never get to an end");
        let report = prune_later(lab).unwrap_or_else(|error| panic!("{what}: {error}"));
        let plan = &report.plan;
        if report.condemned.packs == 0 && plan.delete.packs + plan.repack.packs == 0 {
            break;
        }
    }
    let packs = |prefix: &str| lab.memory.names().iter().filter(|n| n.starts_with(prefix)).count();
    assert!(packs("data/") >= 1 && packs("gc/lease") <= 1, "{what}: {:?}", lab.memory.names());
}

/// Stops and fails three runs of prune, one after the other: what is condemned and packed anew, what
/// is deleted, what is tidied up. Each begins where the one before ended in peace.
fn prune_everywhere(seed: u64, step: impl Fn(&Act<'_>, &Lab)) {
    let mut lab = three(seed);
    forget(&lab, "second").expect("forgets");
    lab.clock.advance_ms(30 * HOUR_MS);
    let run = |lab: &Lab| prune_later(lab).map(drop);
    let (kept, then) = (&["first", "third"], &prune_to_the_end);
    let mut deleted = 0;
    for name in ["prune that marks", "prune that deletes", "prune that tidies up"] {
        let act = Act { name, run: &run, kept, open: &[], then: Some(then) };
        step(&act, &lab);
        lab = lab.fork();
        let report = prune_later(&lab).expect("prunes");
        deleted += report.deleted.packs;
    }
    assert!(deleted > 0, "it deleted something");
    prune_to_the_end(&lab, "in peace");
}

#[test]
fn pruning_stops_anywhere() {
    prune_everywhere(202, |act, lab| act.stop_everywhere(lab));
}

#[test]
fn pruning_fails_anywhere() {
    prune_everywhere(203, |act, lab| act.fail_everywhere(lab));
}

/// Three snapshots, of which one may go.
fn three(seed: u64) -> Lab {
    let mut lab = lab(seed);
    for name in ["first", "second", "third"] {
        lab.tree().edit(4);
        lab.tree().add_noise("noise", 20_000);
        lab.backup_named(name);
    }
    lab
}

#[test]
fn forgetting_stops_and_fails_anywhere() {
    let lab = three(200);
    let run = |lab: &Lab| forget(lab, "second");
    let act =
        Act { name: "forget", run: &run, kept: &["first", "third"], open: &["second"], then: None };
    act.stop_everywhere(&lab);
    act.fail_everywhere(&lab);
    forget(&lab, "second").expect("forgets");
    let gone = Act { open: &[], ..act };
    gone.assert_left(&lab, "at last");
}

#[test]
fn taking_back_stops_and_fails_anywhere() {
    let lab = three(201);
    forget(&lab, "second").expect("forgets");
    let run = |lab: &Lab| take_back(lab, "second");
    let act = Act {
        name: "undelete",
        run: &run,
        kept: &["first", "third"],
        open: &["second"],
        then: None,
    };
    act.stop_everywhere(&lab);
    act.fail_everywhere(&lab);
    take_back(&lab, "second").expect("takes it back");
    let back = Act { kept: &["first", "second", "third"], ..act };
    back.assert_left(&lab, "at last");
}
