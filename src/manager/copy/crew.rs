//! Several threads that move content at once.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Failure;
use super::content::{FileTask, Worker};
use crate::error::{Error, Result};
use crate::model::Piece;

/// A part of a file that one thread moves.
pub(super) enum Job<'t> {
    /// This slice: its bytes are cut anew.
    Cut(&'t FileTask, Range<u64>),
    /// All of it, piece by piece.
    MoveAll(&'t FileTask),
    /// These pieces of it, as they are.
    Move(&'t FileTask, Vec<Piece>),
}

/// The pieces of one job, once somebody has moved them.
type Slot = Mutex<Option<Result<Vec<Piece>, Failure>>>;

/// The threads. Their open segments stay open from job to job.
pub(super) struct Crew<'r>(Vec<Mutex<Worker<'r>>>);

impl<'r> Crew<'r> {
    pub(super) fn new(workers: impl Iterator<Item = Worker<'r>>) -> Self {
        Self(workers.map(Mutex::new).collect())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Hands over open segments.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        self.0.iter().try_for_each(|worker| worker.lock().flush())
    }

    /// Does all jobs, and tells the pieces of each.
    pub(super) fn run(&self, jobs: &[Job<'_>]) -> Result<Vec<Vec<Piece>>, Failure> {
        let results: Vec<Slot> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = |worker: &Mutex<Worker<'_>>| {
            let mut worker = worker.lock();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(at) else { break };
                let result = worker.run(job);
                if result.is_err() {
                    next.store(jobs.len(), Ordering::Relaxed);
                }
                *results[at].lock() = Some(result);
            }
        };
        let threads = self.0.len().min(jobs.len());
        if threads == 1 {
            work(&self.0[0]);
        } else {
            std::thread::scope(|scope| {
                for worker in &self.0[..threads] {
                    scope.spawn(|| work(worker));
                }
            });
        }
        // What was left undone comes after what failed.
        let left = || Error::Internal { what: "a part of a file was not copied".into() };
        let done = results.into_iter().map(Mutex::into_inner);
        done.map(|result| result.unwrap_or_else(|| Err(left().into()))).collect()
    }
}
