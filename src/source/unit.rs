//! The work of a walk, in units that any thread can do: reading a directory, and looking at a
//! number of its entries.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::entry::{Failure, WalkEntry};
use super::folder::Folder;
use super::names::Names;
use super::rules::Rules;

/// A step of the walk as the units make it.
pub(super) enum Step {
    /// An entry, and the unit that reads it if it is a directory to go into.
    Entry(WalkEntry, Option<Arc<Unit>>),
    Failed(Failure),
    /// The steps of this unit come here.
    More(Arc<Unit>),
}

/// A piece of work, done once.
pub(super) struct Unit {
    job: Job,
    phase: Mutex<Phase>,
    changed: Condvar,
}

enum Job {
    List(Arc<Folder>),
    Look { folder: Arc<Folder>, names: Arc<Names>, range: Range<usize>, first: Vec<u8> },
}

enum Phase {
    Waiting,
    Running,
    Done(Vec<Step>),
    /// Its steps were taken, or the thread that did it panicked.
    Gone,
}

/// What [`Unit::try_take`] found.
pub(super) enum Taken {
    /// The steps.
    Steps(Vec<Step>),
    /// Nobody began it: the caller has to do it, with [`Unit::run`].
    Yours,
    /// Another thread is at it.
    Running,
    /// There is nothing to be had any more.
    Gone,
}

impl Unit {
    /// The unit that reads a directory.
    pub(super) fn list(folder: Folder) -> Arc<Self> {
        Self::new(Job::List(Arc::new(folder)))
    }

    /// The unit that looks at some entries of a directory, of which the first has this path.
    pub(super) fn look(
        folder: &Arc<Folder>,
        names: &Arc<Names>,
        range: Range<usize>,
        first: Vec<u8>,
    ) -> Arc<Self> {
        Self::new(Job::Look { folder: folder.clone(), names: names.clone(), range, first })
    }

    fn new(job: Job) -> Arc<Self> {
        Arc::new(Self { job, phase: Mutex::new(Phase::Waiting), changed: Condvar::new() })
    }

    /// Where its entries come in the order of the walk.
    pub(super) fn first_path(&self) -> &[u8] {
        match &self.job {
            Job::List(folder) => &folder.path,
            Job::Look { first, .. } => first,
        }
    }

    /// Takes the steps if they are there, or the duty to make them.
    pub(super) fn try_take(&self) -> Taken {
        let mut phase = self.phase.lock();
        match std::mem::replace(&mut *phase, Phase::Gone) {
            Phase::Done(steps) => Taken::Steps(steps),
            Phase::Waiting => {
                *phase = Phase::Running;
                Taken::Yours
            }
            Phase::Running => {
                *phase = Phase::Running;
                Taken::Running
            }
            Phase::Gone => Taken::Gone,
        }
    }

    /// Takes the duty to do it, unless somebody did.
    pub(super) fn claim(&self) -> bool {
        let mut phase = self.phase.lock();
        let waiting = matches!(*phase, Phase::Waiting);
        if waiting {
            *phase = Phase::Running;
        }
        waiting
    }

    /// Waits until another thread is done with it.
    pub(super) fn wait(&self) {
        let mut phase = self.phase.lock();
        while matches!(*phase, Phase::Running) {
            self.changed.wait(&mut phase);
        }
    }

    /// Does it, for who claimed it, and leaves the steps to be taken.
    pub(super) fn run_and_leave(
        &self,
        rules: &Rules,
        scratch: &mut Scratch,
        found: impl FnOnce(&[Step]),
    ) {
        // Whoever waits for it must wake up even if this thread dies.
        struct Finish<'a>(&'a Unit, Option<Vec<Step>>);
        impl Drop for Finish<'_> {
            fn drop(&mut self) {
                *self.0.phase.lock() = self.1.take().map_or(Phase::Gone, Phase::Done);
                self.0.changed.notify_all();
            }
        }
        let mut finish = Finish(self, None);
        let steps = self.run(rules, scratch);
        found(&steps);
        finish.1 = Some(steps);
    }

    /// Does it, for who claimed it.
    pub(super) fn run(&self, rules: &Rules, scratch: &mut Scratch) -> Vec<Step> {
        match &self.job {
            Job::List(folder) => folder.list(rules, scratch),
            Job::Look { folder, names, range, .. } => folder.look(rules, names, range.clone()),
        }
    }

    /// Takes whatever it holds, to drop it piece by piece.
    pub(super) fn dismantle(&self) -> Vec<Step> {
        match std::mem::replace(&mut *self.phase.lock(), Phase::Gone) {
            Phase::Done(steps) => steps,
            _ => Vec::new(),
        }
    }
}

impl Step {
    /// The unit that comes with it.
    pub(super) fn unit(&self) -> Option<&Arc<Unit>> {
        match self {
            Self::Entry(_, unit) => unit.as_ref(),
            Self::More(unit) => Some(unit),
            Self::Failed(_) => None,
        }
    }

    /// The same, and drops the rest.
    pub(super) fn into_unit(self) -> Option<Arc<Unit>> {
        match self {
            Self::Entry(_, unit) => unit,
            Self::More(unit) => Some(unit),
            Self::Failed(_) => None,
        }
    }
}

/// Memory that a thread uses again for each unit.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) dir_buf: Vec<u8>,
    pub(super) names: Names,
}
