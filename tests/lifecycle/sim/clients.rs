//! What clients do: back up small changing trees, forget, undelete, check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::archive::{BackupOptions, backup};
use larder::commit::undelete;
use larder::error::Result;
use larder::format::log::LogKind;
use larder::model::BackupId;
use larder::prune::{self, MaxUnused, PruneOptions};
use larder::repository::{Author, OpenOptions, Repository, Snapshot, Unlock};
use larder::runtime::{Clock, Random, Runtime};
use larder::source::SourcePath;
use larder::storage::SharedStorage;
use larder::verify::{CheckOptions, check};
use parking_lot::Mutex;

use super::storage::Process;
use super::turnstile::Turnstile;
use super::world::WorldClock;
use crate::support::{Dice, TreeCopy, set_times};

/// What ought to be, as everybody who knows the world would say.
#[derive(Default)]
pub(super) struct Truth {
    /// What each snapshot holds that was reported.
    pub(super) trees: BTreeMap<BackupId, Arc<TreeCopy>>,
    /// What runs that failed may have committed all the same, by client.
    pub(super) tried: BTreeMap<usize, Vec<Arc<TreeCopy>>>,
    /// Snapshots that were reported done.
    pub(super) reported: BTreeSet<BackupId>,
    /// Snapshots that somebody tried to forget, even before they were reported; how often that was
    /// tried, and how often nobody knows yet what came of it.
    pub(super) given_up: BTreeMap<BackupId, (u64, u64)>,
    /// New ids of undeleted snapshots, and the old ones.
    pub(super) renewed: BTreeMap<BackupId, BackupId>,
    /// How often each thing was done, and how often it succeeded.
    pub(super) done: BTreeMap<&'static str, (u64, u64)>,
}

impl Truth {
    /// Whether a snapshot has to be there.
    pub(super) fn keeps(&self, id: BackupId) -> bool {
        self.reported.contains(&id) && !self.given_up.contains_key(&id)
    }
}

/// One machine with a tree of its own.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) turnstile: Arc<Turnstile>,
    pub(super) truth: Arc<Mutex<Truth>>,
    pub(super) home: PathBuf,
    pub(super) clock: WorldClock,
    pub(super) dice: Dice,
    /// How long it waits between its deeds.
    pub(super) waits: &'static [i64],
    /// What its prunes take for grace.
    pub(super) graces: &'static [i64],
    /// Counts edits and processes, so that no two are the same.
    pub(super) count: u64,
}

/// What a client does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    Backup,
    Forget,
    Undelete,
    Prune,
    Check,
}

impl Client {
    pub(super) fn tree(home: &Path, number: usize) -> PathBuf {
        home.join(format!("tree{number}"))
    }

    /// Everything that this client does in its life.
    pub(super) fn live(&mut self, deeds: &[Deed]) {
        self.turnstile.arrive(self.number);
        for deed in deeds {
            self.act(*deed);
            let wait_ms = *self.dice.pick(self.waits);
            self.turnstile.sleep(self.number, self.dice.below(wait_ms as u64) as i64);
        }
        self.turnstile.finish(self.number);
    }

    fn act(&mut self, deed: Deed) {
        let (name, done) = match deed {
            Deed::Backup => ("backup", self.back_up()),
            Deed::Forget => ("forget", self.forget()),
            Deed::Undelete => ("undelete", self.undelete()),
            Deed::Prune => ("prune", self.prune()),
            Deed::Check => ("check", self.check()),
        };
        let mut truth = self.truth.lock();
        let count = truth.done.entry(name).or_default();
        count.0 += 1;
        count.1 += u64::from(matches!(done, Ok(true)));
        let outcome = match done {
            Ok(true) => "done".into(),
            Ok(false) => "nothing to do".into(),
            Err(error) => error.to_string(),
        };
        drop(truth);
        self.turnstile.world(|world| world.tell(self.number, &format!("{name}: {outcome}")));
    }

    /// A new process of the program.
    fn start(&mut self) -> Result<(Repository, Runtime)> {
        self.count += 1;
        let seed = self.dice.below(u64::MAX);
        let runtime = Runtime {
            clock: Arc::new(self.clock.clone()) as Arc<dyn Clock>,
            random: Random::seeded(seed),
            ..Runtime::default()
        };
        let process = Process::new(self.number, Arc::clone(&self.turnstile));
        let storage: SharedStorage = Arc::new(process);
        let state_dir = Some(self.home.join(format!("state{}", self.number)));
        let options = OpenOptions { cache_dir: None, state_dir, ..OpenOptions::default() };
        let repository = Repository::open(storage, &Unlock::Nothing, &options, &runtime)?;
        Ok((repository, runtime))
    }

    fn author(&self) -> Author {
        Author { host: format!("host{}", self.number), user: "tester".into() }
    }

    /// Changes some files. What is in them comes from a few contents that all clients share, so
    /// that what one has pruned away another needs again.
    pub(super) fn edit(&mut self) {
        let tree = Self::tree(&self.home, self.number);
        std::fs::create_dir_all(&tree).expect("makes a folder");
        for _ in 0..=self.dice.below(3) {
            self.count += 1;
            let path = tree.join(format!("file{}", self.dice.below(5)));
            if self.dice.once_in(4) {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            let content = Dice::seeded(self.dice.below(8)).noise(600);
            std::fs::write(&path, content).expect("writes a file");
            // No two edits look the same, however fast they follow each other.
            let seconds = 1_700_000_000 + (self.number as i64) * 1_000_000 + self.count as i64;
            set_times(&path, seconds, 0);
        }
        set_times(&tree, 1_600_000_000 + self.count as i64, 0);
    }

    fn back_up(&mut self) -> Result<bool> {
        self.edit();
        let tree = Self::tree(&self.home, self.number);
        let copy = Arc::new(TreeCopy::of_folder(&tree));
        let options = BackupOptions {
            sources: vec![SourcePath::new(&tree).expect("a path")],
            host: Some(self.author().host),
            user: Some(self.author().user),
            readers: std::num::NonZeroUsize::new(1),
            ..BackupOptions::default()
        };
        let ran = self.start().and_then(|(repository, runtime)| {
            let report = backup(&repository, &options, &runtime)?;
            assert!(report.is_complete(), "{:?}", report.stats);
            Ok(report)
        });
        let mut truth = self.truth.lock();
        match ran {
            Ok(report) => {
                let id = report.snapshot.expect("not a dry run").id;
                truth.trees.insert(id, copy);
                truth.reported.insert(id);
                Ok(true)
            }
            Err(error) => {
                truth.tried.entry(self.number).or_default().push(copy);
                Err(error)
            }
        }
    }

    /// Says whether there was anything to do.
    fn forget(&mut self) -> Result<bool> {
        let (repository, runtime) = self.start()?;
        let list = repository.snapshots()?;
        list.check_history(false)?;
        if list.snapshots.is_empty() {
            return Ok(false);
        }
        let chosen: Vec<&Snapshot> = match self.dice.once_in(2) {
            true => list.snapshots.iter().collect(),
            false => vec![self.dice.pick(&list.snapshots)],
        };
        for snapshot in &chosen {
            let mut truth = self.truth.lock();
            let (tries, open) = truth.given_up.entry(snapshot.id).or_default();
            (*tries, *open) = (*tries + 1, *open + 1);
        }
        let author = self.author();
        repository.append_about(LogKind::Forget, &chosen, "", &author, &list, &runtime)?;
        for snapshot in &chosen {
            let mut truth = self.truth.lock();
            truth.given_up.entry(snapshot.id).or_default().1 -= 1;
        }
        Ok(true)
    }

    fn undelete(&mut self) -> Result<bool> {
        let (repository, runtime) = self.start()?;
        let list = repository.snapshots()?;
        if list.forgotten.is_empty() {
            return Ok(false);
        }
        let forgotten = self.dice.pick(&list.forgotten);
        let id = forgotten.snapshot.id;
        let before = self.truth.lock().given_up.get(&id).copied();
        let undeleted =
            undelete(&repository, &[forgotten], &|_| true, &self.author(), &list, &runtime)?;
        let mut truth = self.truth.lock();
        // It has to stay, unless somebody forgets it at the same time or later.
        let is_alone = before.is_some_and(|(_, open)| open == 0);
        if is_alone
            && undeleted.iter().any(|snapshot| snapshot.id == id)
            && truth.given_up.get(&id) == before.as_ref()
        {
            truth.given_up.remove(&id);
            truth.reported.insert(id);
        }
        Ok(true)
    }

    fn prune(&mut self) -> Result<bool> {
        let (repository, runtime) = self.start()?;
        let options = PruneOptions {
            grace_ms: *self.dice.pick(self.graces),
            max_unused: *self.dice.pick(&[MaxUnused::Bytes(0), MaxUnused::Percent(30.0)]),
            accept_history: self.dice.once_in(2),
            ignore_lease: self.dice.once_in(2),
            living_in_memory: if self.dice.once_in(4) { 4 } else { 1 << 20 },
            list_lost: false,
            temporary: self.home.clone(),
            ..PruneOptions::new(self.author())
        };
        let report = prune::run(&repository, &options, &runtime)?;
        let mut truth = self.truth.lock();
        let mut count = |name, packs| truth.done.entry(name).or_default().1 += packs;
        count("packs condemned", report.condemned.packs);
        count("packs deleted", report.deleted.packs);
        count("packs rescued", report.rescued.packs);
        count("packs written", report.written.packs);
        count("records deleted", report.records);
        Ok(true)
    }

    fn check(&mut self) -> Result<bool> {
        let (repository, runtime) = self.start()?;
        check(&repository, &CheckOptions::default(), &runtime)?;
        Ok(true)
    }
}
