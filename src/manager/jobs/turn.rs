//! Of several machines that look after one repository, one does a piece of maintenance: leases in
//! the repository say who is at it, and who has just done it.
//!
//! Nothing relies on this: two at once do the same work twice, and no harm.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::error::Result;
use crate::format::gc::Lease;
use crate::fsmeta::host_name;
use crate::manager::schedule::{Calendar, own_machine};
use crate::model::{BackupId, BackupSchedule, escape_bytes};
use crate::repository::{Repository, SeenLease};
use crate::runtime::Runtime;

/// Whoever gave no sign for so long is not at work any more.
const EXPIRY_MS: i64 = 30 * 60_000;
/// How often one is given.
const RENEWAL: Duration = Duration::from_secs(10 * 60);
/// What was done longer ago than this is done again, however seldom the schedule runs.
const FRESH_MS_MAX: i64 = 20 * 3_600_000;
/// Begins the purpose of a lease that says that something was done.
const DONE: &str = "done: ";

/// Whether a lease only says that something was done.
pub(in crate::manager) fn is_done(purpose: &str) -> bool {
    purpose.starts_with(DONE)
}

/// Whose turn it is.
pub(super) enum Turn<'r> {
    /// This one's.
    Own(OwnTurn<'r>),
    /// Somebody else's: who, and since when.
    Others(String),
}

pub(super) struct OwnTurn<'r> {
    repository: &'r Repository,
    runtime: &'r Runtime,
    /// Names the schedule of this machine: what it did itself it does again when it is wanted.
    own: String,
    state: Mutex<State>,
}

struct State {
    lease: Lease,
    /// What was put for it.
    names: Vec<String>,
    /// Signs of earlier turns, which a later one makes needless.
    older: Vec<String>,
}

/// Asks for the turn to do what `schedule` wants.
///
/// # Errors
/// The storage's.
pub(super) fn take_turn<'r>(
    repository: &'r Repository,
    schedule: &BackupSchedule,
    runtime: &'r Runtime,
) -> Result<Turn<'r>> {
    let now_ms = runtime.clock.now_ms();
    let lease = Lease {
        gc_id: BackupId(runtime.random.bytes()),
        number: 0,
        host: host_name(),
        process_id: std::process::id(),
        started_ms: now_ms,
        now_ms,
        purpose: purpose(schedule),
    };
    let (name, own_ms) = repository.put_lease(&lease)?;
    let state = Mutex::new(State { lease, names: vec![name], older: Vec::new() });
    let own = own_name(schedule);
    let turn = OwnTurn { repository, runtime, own, state };
    // Looked at after the own one was put: of two at once, one sees the other.
    let others = match repository.load_gc() {
        Ok(gc) => gc.leases,
        Err(error) => {
            turn.leave();
            return Err(error);
        }
    };
    let fresh_ms = fresh_ms(schedule, now_ms);
    match turn.other(&others, own_ms, fresh_ms) {
        None => Ok(Turn::Own(turn)),
        Some(other) => {
            turn.leave();
            Ok(Turn::Others(other))
        }
    }
}

/// What leases of the same work have in common: its kind, and what it is about.
fn purpose(schedule: &BackupSchedule) -> String {
    let job = serde_json::to_string(&schedule.job).unwrap_or_default();
    let hash = blake3::hash(job.as_bytes()).to_hex();
    format!("{} {}", schedule.job.kind(), &hash[..8])
}

fn own_name(schedule: &BackupSchedule) -> String {
    let name = format!("{} {}", schedule.schedule_id, own_machine());
    blake3::hash(name.as_bytes()).to_hex()[..8].to_owned()
}

/// What was done so long ago needs not be done again: half the time between two runs.
fn fresh_ms(schedule: &BackupSchedule, now_ms: i64) -> i64 {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let Ok(calendar) = Calendar::of(schedule) else { return 0 };
    let mut runs = calendar.runs_after(now, now).skip(1);
    let between_ms = match (runs.next(), runs.next()) {
        (Some(one), Some(next)) => next.as_millisecond() - one.as_millisecond(),
        _ => 0,
    };
    (between_ms / 2).min(FRESH_MS_MAX)
}

impl OwnTurn<'_> {
    /// Somebody whose turn it is rather than this one's. Of two who came at once it is the first's,
    /// by storage's clock.
    fn other(&self, others: &[SeenLease], own_ms: Option<i64>, fresh_ms: i64) -> Option<String> {
        let mut state = self.state.lock();
        let own = state.lease.clone();
        let done = format!("{DONE}{}", own.purpose);
        let mut found = None;
        for other in others.iter().filter(|other| other.lease.gc_id != own.gc_id) {
            let (other_ms, now_ms) = match (other.modified_ms, own_ms) {
                (Some(other_ms), Some(own_ms)) => (other_ms, own_ms),
                _ => (other.lease.now_ms, own.now_ms),
            };
            let age_ms = now_ms.saturating_sub(other_ms);
            let host = escape_bytes(other.lease.host.as_bytes()).into_owned();
            let process = other.lease.process_id;
            if other.lease.purpose == own.purpose {
                let is_first =
                    other.lease.number > 0 || (other_ms, other.lease.gc_id) < (now_ms, own.gc_id);
                if age_ms < EXPIRY_MS && is_first {
                    found = Some(format!("{host} (process {process}) is at it"));
                }
            } else if let Some(by) = other.lease.purpose.strip_prefix(&done) {
                state.older.push(other.name.clone());
                if by.trim_start() != self.own && age_ms < fresh_ms {
                    let minutes = (age_ms / 60_000).max(0);
                    found = Some(format!("{host} did it {minutes} minutes ago"));
                }
            }
        }
        found
    }

    /// Does the work, and says meanwhile that somebody is at it.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) fn hold<T>(self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (over, is_over) = bounded::<()>(0);
        let done = thread::scope(|scope| {
            scope.spawn(|| {
                while is_over.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                    self.renew();
                }
            });
            // Dropped also when the work panics: the thread ends then.
            let _over = over;
            work()
        });
        match done {
            Ok(_) => self.tell_done(),
            Err(_) => self.leave(),
        }
        done
    }

    fn renew(&self) {
        let mut state = self.state.lock();
        state.lease.number += 1;
        state.lease.now_ms = self.runtime.clock.now_ms();
        match self.repository.put_lease(&state.lease) {
            Ok((name, _)) => state.names.push(name),
            Err(error) => tracing::warn!("others may do the same: {}", error.in_full()),
        }
    }

    /// It is done: others need not do it again, for a while.
    fn tell_done(self) {
        let done = {
            let mut state = self.state.lock();
            state.lease.number += 1;
            state.lease.now_ms = self.runtime.clock.now_ms();
            state.lease.purpose = format!("{DONE}{} {}", state.lease.purpose, self.own);
            state.lease.clone()
        };
        match self.repository.put_lease(&done) {
            Ok(_) => {
                let older = std::mem::take(&mut self.state.lock().older);
                self.remove(&older);
            }
            Err(error) => tracing::warn!("others may do it again: {}", error.in_full()),
        }
        self.leave();
    }

    /// Removes the leases. Where storage refuses that, they expire.
    fn leave(self) {
        let names = std::mem::take(&mut self.state.lock().names);
        self.remove(&names);
    }

    fn remove(&self, names: &[String]) {
        for name in names.iter().rev() {
            if let Err(error) = self.repository.storage().delete(name) {
                tracing::debug!("a lease stays until it expires: {error}");
                return;
            }
        }
    }
}
