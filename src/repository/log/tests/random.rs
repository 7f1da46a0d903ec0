//! Random histories of several machines on real code: crashes, lost answers, listings that are
//! behind, prunes. Whoever reads the log afterwards sees what was said, and nothing speaks of a
//! rollback.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::real::{Lab, author, finish, snapshot};
use crate::error::{Error, StorageErrorKind};
use crate::format::log::LogKind;
use crate::model::BackupId;
use crate::repository::{Repository, Snapshot};
use crate::runtime::{Random, Runtime};
use crate::storage::fault::{Fault, On, Rule};
use crate::storage::{FaultStorage, SharedStorage};

const MACHINES: [&str; 3] = ["a", "b", "c"];

/// What is known of a snapshot. What a failed call was about may be either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    visible: bool,
    pinned: bool,
}

struct Game {
    lab: Lab,
    /// Machines that remember as long as they are open, and what is between them and storage.
    machines: BTreeMap<&'static str, (Arc<Repository>, Arc<FaultStorage>)>,
    random: Random,
    states: BTreeMap<BackupId, State>,
    log: Vec<String>,
    is_frozen: bool,
}

impl Game {
    fn below(&self, bound: usize) -> usize {
        (self.random.next_u64() % bound as u64) as usize
    }

    fn pick<T: Clone>(&self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }

    fn machine(&self, name: &str) -> (Arc<Repository>, Arc<FaultStorage>) {
        self.machines.get(name).cloned().expect("it is open")
    }

    /// Breaks a machine's storage now and then.
    fn break_storage(&self, faulty: &FaultStorage) -> &'static str {
        match self.below(8) {
            0 => {
                faulty.fail_after_writes(self.below(4) as u64);
                "stops"
            }
            1 => {
                let (prefix, nth) = ("snapshots/".to_owned(), 1 + self.below(2) as u64);
                let fault = Fault::LoseAnswer;
                faulty.inject(Rule { on: On::Put, prefix, nth, times: 1, fault });
                "loses an answer"
            }
            2 => {
                faulty.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
                "refuses deletes"
            }
            _ => "works",
        }
    }

    fn step(&mut self) {
        let machine = self.pick(&MACHINES).expect("there are some");
        let (repository, faulty) = self.machine(machine);
        let fault = self.break_storage(&faulty);
        self.is_frozen = self.below(6) == 0;
        if self.is_frozen {
            faulty.freeze_listings().expect("lists");
            self.log.push(format!("{machine}: listings are frozen"));
            // What others do now is not listed.
            let others = self.pick(&MACHINES).expect("there are some");
            if others != machine {
                let (repository, _) = self.machine(others);
                self.act(others, &repository, "works, while another listing is frozen");
            }
        }
        self.act(machine, &repository, fault);
        faulty.heal();
    }

    fn act(&mut self, machine: &str, repository: &Repository, fault: &str) {
        let Ok(list) = repository.snapshots() else { return };
        let runtime = Runtime::default();
        let gone: Vec<Snapshot> = list.forgotten.iter().map(|f| f.snapshot.clone()).collect();
        let say = |kind, about: &Snapshot| {
            repository.append_about(kind, &[about], "", &author(machine), &list, &runtime)
        };
        let what = self.below(12);
        let (name, done) = match what {
            0..=3 => {
                let made = snapshot(repository, machine);
                // The session's end may have failed after the commit.
                if let Ok(made) = &made {
                    let state = State { visible: true, pinned: false };
                    self.states.insert(made.id, state);
                }
                ("snapshot", made.map(|_| ()))
            }
            4..=6 => match self.pick(&list.snapshots) {
                Some(chosen) => ("forget", say(LogKind::Forget, &chosen).map(|_| ())),
                None => return,
            },
            7 => match self.pick(&gone) {
                Some(chosen) => ("undelete", say(LogKind::Undelete, &chosen).map(|_| ())),
                None => return,
            },
            8 => match self.pick(&list.snapshots) {
                Some(chosen) => ("pin", say(LogKind::Pin, &chosen).map(|_| ())),
                None => return,
            },
            9 => {
                let done = repository.append_checkpoint(&list, &author(machine), &runtime);
                ("checkpoint", done.map(|_| ()))
            }
            _ => {
                let count = self.below(gone.len() + 1);
                let ids: Vec<_> = gone.iter().take(count).map(|s| s.record).collect();
                ("finish", finish(repository, machine, &ids).map(|_| ()))
            }
        };
        self.log.push(format!("{machine}: {name}, storage {fault}: {:?}", done.as_ref().err()));
        // Somebody let records go, and the listing still has them.
        let may_miss = self.is_frozen && name != "snapshot";
        let missed = matches!(done, Err(Error::History { .. }));
        assert!(!missed || may_miss, "{}", self.log.join("\n"));
    }

    /// What every machine sees is the same, and nothing is wrong with it.
    fn look(&mut self, machines: &[&str]) {
        let mut seen: Option<(Vec<BackupId>, Vec<BackupId>)> = None;
        for machine in machines {
            let list = match self.machines.get(machine) {
                Some((repository, _)) => repository.snapshots().expect("lists"),
                None => self.lab.open_in_memory(self.lab.shared()).snapshots().expect("lists"),
            };
            let told = self.log.join("\n");
            assert_eq!(list.rollback, [], "on {machine} after\n{told}");
            assert!(list.bad.is_empty() && list.notices.is_empty(), "{:?}\n{told}", list.notices);
            let visible: Vec<_> = list.snapshots.iter().map(|s| s.id).collect();
            let forgotten: Vec<_> = list.forgotten.iter().map(|f| f.snapshot.id).collect();
            match &seen {
                None => seen = Some((visible, forgotten)),
                Some(before) => assert_eq!(before, &(visible, forgotten), "on {machine}\n{told}"),
            }
            for snapshot in &list.snapshots {
                let pinned = snapshot.pinned;
                let state = State { visible: true, pinned };
                let before = self.states.insert(snapshot.id, state);
                assert!(before.is_none_or(|before| pinned || !before.pinned), "{told}");
            }
        }
        // Only a forget takes a snapshot out of sight.
        let (visible, _) = seen.expect("machines looked");
        let forgets = self.log.iter().filter(|line| line.contains(": forget")).count();
        let hidden = self.states.keys().filter(|id| !visible.contains(id)).count();
        assert!(hidden <= forgets, "{hidden} of {forgets}\n{}", self.log.join("\n"));
    }
}

#[test]
fn any_history_of_several_machines_is_whole_and_seen_alike_by_all() {
    let games = if std::env::var_os("LARDER_TEST_LONG").is_some() { 3000 } else { 60 };
    for seed in 0..games {
        let lab = Lab::new();
        let open = |name| {
            let faulty = Arc::new(FaultStorage::new(lab.shared()));
            let repository = lab.open_in_memory(Arc::clone(&faulty) as SharedStorage);
            (name, (Arc::new(repository), faulty))
        };
        let mut game = Game {
            machines: MACHINES.into_iter().map(open).collect(),
            lab,
            random: Random::seeded(seed),
            states: BTreeMap::new(),
            log: vec![format!("seed {seed}")],
            is_frozen: false,
        };
        for _ in 0..5 {
            (0..4).for_each(|_| game.step());
            game.look(&["a", "b", "c", "fresh"]);
        }
    }
}
