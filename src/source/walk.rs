//! Brings the units of work into order and gives their steps out one by one.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Atomic};
use std::thread::{self, JoinHandle};
use std::vec;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::model::entry::compare_paths;
use crate::runtime::{CancelToken, Runtime};

use super::dir::{DirHandle, DirPool};
use super::entry::Item;
use super::folder::first_steps;
use super::options::WalkOptions;
use super::roots::{SourcePath, root_tree};
use super::rules::Rules;
use super::unit::{Scratch, Step, Taken, Unit};

/// Entries that may be known and not given out yet.
const LOOK_AHEAD: usize = 16 << 10;

/// A walk through live directory trees.
///
/// Entries come in the order of [`compare_paths`], each once, a directory before what is in it.
/// The directories that lead to a source come too, with nothing else of their content.
///
/// Threads read directories ahead, those first that are needed first. The thread that asks for
/// items works too when the next directory is not there yet, so a walk goes on even if no thread
/// could be had.
pub struct Walk {
    shared: Arc<Shared>,
    cancel: CancelToken,
    stack: Vec<Frame>,
    scratch: Scratch,
    workers: Vec<JoinHandle<()>>,
}

enum Frame {
    Steps(vec::IntoIter<Step>),
    /// Not taken yet.
    Unit(Arc<Unit>),
}

impl Walk {
    /// Begins to walk.
    ///
    /// # Errors
    /// [`Error::SourcesMissing`] if there is nothing at any source (one missing among others is
    /// an [`Item::Failed`]), [`Error::Usage`] for patterns that make no sense, [`Error::Local`]
    /// if a file of patterns or the root directory cannot be read.
    pub fn start(sources: &[SourcePath], options: &WalkOptions, runtime: &Runtime) -> Result<Self> {
        let rules = Rules::new(options)?;
        if !sources.iter().any(SourcePath::exists) {
            let paths = sources.iter().map(SourcePath::to_path).collect();
            return Err(Error::SourcesMissing { paths });
        }
        let open_root = || {
            let root = DirHandle::root(&DirPool::for_this_process())?;
            first_steps(root, root_tree(sources))
        };
        let steps = open_root().map_err(|error| Error::local("read", "/", error))?;
        let shared = Arc::new(Shared {
            rules,
            look_ahead: options.look_ahead.map_or(LOOK_AHEAD, Into::into),
            ahead: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            queue: Mutex::default(),
            work: Condvar::new(),
        });
        shared.offer(&steps);
        let cpus = || thread::available_parallelism().map_or(1, Into::into);
        let threads = options.threads.unwrap_or_else(|| cpus().min(8)).min(256);
        // A system that gives no more threads only makes it slower.
        let workers = (0..threads).map_while(|_| Shared::spawn(&shared)).collect();
        let stack = vec![Frame::Steps(steps.into_iter())];
        Ok(Self {
            shared,
            cancel: runtime.cancel.clone(),
            stack,
            scratch: Scratch::default(),
            workers,
        })
    }

    /// The next entry or failure, `None` after the last.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once that was asked for: what was given out so far is not all.
    pub fn next_item(&mut self) -> Result<Option<Item>> {
        self.cancel.check()?;
        loop {
            let Some(frame) = self.stack.last_mut() else {
                return Ok(None);
            };
            let step = match frame {
                Frame::Unit(unit) => {
                    let unit = unit.clone();
                    *frame =
                        Frame::Steps(self.shared.obtain(&unit, &mut self.scratch)?.into_iter());
                    continue;
                }
                Frame::Steps(steps) => steps.next(),
            };
            match step {
                None => {
                    self.stack.pop();
                }
                Some(Step::Failed(failure)) => return Ok(Some(Item::Failed(failure))),
                Some(Step::More(unit)) => self.stack.push(Frame::Unit(unit)),
                Some(Step::Entry(entry, unit)) => {
                    self.stack.extend(unit.map(Frame::Unit));
                    return Ok(Some(Item::Entry(entry)));
                }
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_item().transpose()
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A panic there was reported where its unit was missed.
            let _ = worker.join();
        }
        // Done units hold units that hold units: dropped as they are, a deep tree would overflow
        // the stack.
        let mut units: Vec<Arc<Unit>> = self.shared.queue.lock().drain().map(|q| q.0).collect();
        for frame in self.stack.drain(..) {
            match frame {
                Frame::Unit(unit) => units.push(unit),
                Frame::Steps(steps) => units.extend(steps.filter_map(Step::into_unit)),
            }
        }
        while let Some(unit) = units.pop() {
            units.extend(unit.dismantle().into_iter().filter_map(Step::into_unit));
        }
    }
}

/// What the threads of a walk share.
struct Shared {
    rules: Rules,
    look_ahead: usize,
    /// Steps that are known and not taken yet.
    ahead: AtomicUsize,
    stop: AtomicBool,
    /// Units that nobody began, and some that somebody did since.
    queue: Mutex<BinaryHeap<Queued>>,
    work: Condvar,
}

impl Shared {
    fn spawn(shared: &Arc<Self>) -> Option<JoinHandle<()>> {
        let shared = shared.clone();
        let work = move || {
            let mut scratch = Scratch::default();
            while let Some(unit) = shared.wait_for_work() {
                shared.do_ahead(&unit, &mut scratch);
            }
        };
        thread::Builder::new().name("walk".into()).spawn(work).ok()
    }

    fn stop(&self) {
        let _queue = self.queue.lock();
        self.stop.store(true, Atomic::Relaxed);
        self.work.notify_all();
    }

    fn has_room(&self) -> bool {
        self.ahead.load(Atomic::Relaxed) < self.look_ahead
    }

    fn wait_for_work(&self) -> Option<Arc<Unit>> {
        let mut queue = self.queue.lock();
        loop {
            if self.stop.load(Atomic::Relaxed) {
                return None;
            }
            if self.has_room()
                && let Some(next) = queue.pop()
            {
                return Some(next.0);
            }
            self.work.wait(&mut queue);
        }
    }

    /// Queues the units that come with `steps`.
    fn offer(&self, steps: &[Step]) {
        if !steps.iter().any(|step| step.unit().is_some()) {
            return;
        }
        let mut queue = self.queue.lock();
        for unit in steps.iter().filter_map(Step::unit) {
            queue.push(Queued(unit.clone()));
            self.work.notify_one();
        }
    }

    fn do_ahead(&self, unit: &Unit, scratch: &mut Scratch) {
        if unit.claim() {
            unit.run_and_leave(&self.rules, scratch, |steps| {
                self.ahead.fetch_add(steps.len(), Atomic::Relaxed);
                self.offer(steps);
            });
        }
    }

    /// The steps of the unit that comes next.
    fn obtain(&self, unit: &Unit, scratch: &mut Scratch) -> Result<Vec<Step>> {
        loop {
            match unit.try_take() {
                Taken::Steps(steps) => {
                    let ahead = self.ahead.fetch_sub(steps.len(), Atomic::Relaxed);
                    // Not at every step: threads that go to sleep and wake up all the time cost
                    // more than they bring.
                    if ahead >= self.look_ahead / 2 && ahead - steps.len() < self.look_ahead / 2 {
                        let _queue = self.queue.lock();
                        self.work.notify_all();
                    }
                    return Ok(steps);
                }
                Taken::Yours => {
                    let steps = unit.run(&self.rules, scratch);
                    self.offer(&steps);
                    return Ok(steps);
                }
                Taken::Running => {
                    let next = if self.has_room() { self.queue.lock().pop() } else { None };
                    match next {
                        Some(next) => self.do_ahead(&next.0, scratch),
                        None => unit.wait(),
                    }
                }
                Taken::Gone => {
                    return Err(Error::Internal { what: "a walking thread ended".into() });
                }
            }
        }
    }
}

/// The first in the order of the walk is the greatest in the queue.
struct Queued(Arc<Unit>);

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(other.0.first_path(), self.0.first_path())
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}
