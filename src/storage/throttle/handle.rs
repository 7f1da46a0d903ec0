//! The limits that all storages of a process share, and how a transfer keeps to them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::bucket::{Bucket, Place};
use super::limits::{Limits, Rate};
use super::plan::BandwidthPlan;
use crate::runtime::{CancelToken, Clock, SystemClock};
use crate::storage::waiting;

/// The longest a waiting transfer sleeps before it looks again: cancellations and new limits are
/// noticed as fast.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is not longer than this goes through without a wait once the run was cancelled: the last
/// words of a run (the index of what it stored, the end of its session) are worth more than a
/// moment of bandwidth.
pub(super) const LAST_WORDS: u64 = 64 << 10;

type Wait = dyn Fn(Duration) + Send + Sync;

/// One pair of buckets for any number of storages and threads. Cheap to clone; all clones are the
/// same limits, and can be given new ones at any time.
#[derive(Clone)]
pub struct ThrottleHandle(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    zone: TimeZone,
    wait: Box<Wait>,
    /// Whether anything was ever limited: until then transfers do not even take the lock.
    in_use: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fixed: Limits,
    plan: Option<BandwidthPlan>,
    /// Of work that goes on, by its number.
    further: Vec<(u64, BandwidthPlan)>,
    last_number: u64,
    /// The second in which the plan was last asked.
    asked_at: Option<i64>,
    upload: Bucket,
    download: Bucket,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards storage.
    Upload,
    /// From storage.
    Download,
}

impl Default for ThrottleHandle {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl ThrottleHandle {
    /// Limits on the clock and in the time zone of this machine.
    pub fn new(limits: Limits) -> Self {
        let sleep = |wait: Duration| std::thread::sleep(wait);
        Self::with_clock(limits, Arc::new(SystemClock), TimeZone::system(), sleep)
    }

    /// Limits on another clock; `wait` is called instead of sleeping, and the clock has to move
    /// meanwhile.
    pub fn with_clock(
        limits: Limits,
        clock: Arc<dyn Clock>,
        zone: TimeZone,
        wait: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Self {
        let (wait, in_use) = (Box::new(wait), AtomicBool::new(false));
        let handle = Self(Arc::new(Shared { clock, zone, wait, in_use, state: Mutex::default() }));
        handle.set(limits.upload, limits.download);
        handle
    }

    /// Sets new limits in bytes a second, also for those that are waiting now. A plan stays, and
    /// of both the lower limit counts.
    pub fn set(&self, upload: Rate, download: Rate) {
        self.change(|state| state.fixed = Limits { upload, download });
    }

    /// Sets limits that change with the time of the day, or takes them away.
    pub fn set_plan(&self, plan: Option<BandwidthPlan>) {
        self.change(|state| state.plan = plan);
    }

    /// Keeps to this plan, too, as long as the result is kept. Of all limits the lowest counts.
    #[must_use]
    pub fn limit_also(&self, plan: BandwidthPlan) -> FurtherLimit {
        let mut number = 0;
        self.change(|state| {
            state.last_number += 1;
            number = state.last_number;
            state.further.push((number, plan));
        });
        FurtherLimit { handle: self.clone(), number }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock();
        change(&mut state);
        state.asked_at = None;
        state.follow(self.0.clock.now_ns(), &self.0.zone);
        let is_planned = state.plan.is_some() || !state.further.is_empty();
        if !state.fixed.is_unlimited() || is_planned {
            self.0.in_use.store(true, Ordering::SeqCst);
        }
    }

    /// The limits that hold now.
    pub fn limits(&self) -> Limits {
        let state = self.0.state.lock();
        state.limits_at(self.0.clock.now_ns(), &self.0.zone)
    }

    /// Whether there was a limit at any time.
    pub fn is_in_use(&self) -> bool {
        self.0.in_use.load(Ordering::SeqCst)
    }

    /// Looks at one direction as it is now.
    fn with<T>(&self, direction: Direction, look: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut state = self.0.state.lock();
        // Read with the lock held: a thread that comes late with an earlier time would look like a
        // clock that was set back, and the time since then would be granted twice.
        let now_ns = self.0.clock.now_ns();
        state.follow(now_ns, &self.0.zone);
        let bucket = match direction {
            Direction::Upload => &mut state.upload,
            Direction::Download => &mut state.download,
        };
        bucket.refill(now_ns);
        look(bucket)
    }
}

/// A plan that holds as long as this is kept.
pub struct FurtherLimit {
    handle: ThrottleHandle,
    number: u64,
}

impl Drop for FurtherLimit {
    fn drop(&mut self) {
        let number = self.number;
        self.handle.change(|state| state.further.retain(|(other, _)| *other != number));
    }
}

impl State {
    fn limits_at(&self, now_ns: i128, zone: &TimeZone) -> Limits {
        // A clock at the end of all times has the limits of no time.
        let time = Timestamp::from_nanosecond(now_ns).unwrap_or_default();
        let plans = self.plan.iter().chain(self.further.iter().map(|(_, plan)| plan));
        plans.fold(self.fixed, |lowest, plan| plan.at(time, zone).lower(lowest))
    }

    /// Takes over the limits of this time, once a second.
    fn follow(&mut self, now_ns: i128, zone: &TimeZone) {
        let second = i64::try_from(now_ns.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        if self.asked_at == Some(second) {
            return;
        }
        self.asked_at = Some(second);
        let limits = self.limits_at(now_ns, zone);
        self.upload.set_rate(now_ns, limits.upload);
        self.download.set_rate(now_ns, limits.download);
    }
}

impl std::fmt::Debug for ThrottleHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ThrottleHandle").field(&self.limits()).finish()
    }
}

/// The limits, as one storage keeps them: waits end when its run is cancelled.
#[derive(Clone)]
pub struct Pace {
    handle: ThrottleHandle,
    cancel: CancelToken,
}

impl Pace {
    /// Keeps to the limits of `handle` until `cancel` is set. A transfer that would have to wait
    /// then fails as one that can be repeated, unless it is small.
    pub fn new(handle: ThrottleHandle, cancel: CancelToken) -> Self {
        Self { handle, cancel }
    }

    /// Begins a transfer of `len` bytes.
    pub fn begin(&self, direction: Direction, len: u64) -> Transfer<'_> {
        Transfer { pace: self, direction, is_short: len <= LAST_WORDS }
    }
}

/// One transfer under way.
pub struct Transfer<'p> {
    pace: &'p Pace,
    direction: Direction,
    is_short: bool,
}

impl Transfer<'_> {
    /// How many bytes to move at once, at the present limit.
    pub fn piece(&self) -> usize {
        self.pace.handle.with(self.direction, |bucket| bucket.piece())
    }

    /// How long the parts of a transfer of `len` bytes are where each part is a request and none
    /// may be shorter than `part_min`: in one part what takes less than a second anyway.
    pub fn part(&self, len: usize, part_min: usize) -> usize {
        match self.pace.handle.with(self.direction, |bucket| bucket.takes_long(len as u64)) {
            true => self.piece().max(part_min),
            false => len.max(1),
        }
    }

    /// Waits until `bytes` more may move.
    ///
    /// # Errors
    /// `Interrupted` if the run was cancelled meanwhile.
    pub fn pass(&self, bytes: usize) -> io::Result<()> {
        let Some(mut turn) = self.line_up(bytes) else { return Ok(()) };
        while let Some(wait) = turn.wait()? {
            (self.pace.handle.0.wait)(wait);
        }
        Ok(())
    }

    /// Takes a place for `bytes` more, for those who cannot wait on their thread; `None` if
    /// nothing is limited.
    pub fn line_up(&self, bytes: usize) -> Option<Turn> {
        let (handle, bytes) = (&self.pace.handle, bytes as u64);
        if !handle.is_in_use() {
            return None;
        }
        let place = handle.with(self.direction, |bucket| bucket.take(bytes));
        let (pace, direction) = (self.pace.clone(), self.direction);
        Some(Turn { pace, direction, bytes, place, is_short: self.is_short, is_over: false })
    }
}

/// A place among those who wait for bandwidth. Whoever drops it before it was reached makes room
/// for those behind.
pub struct Turn {
    pace: Pace,
    direction: Direction,
    bytes: u64,
    place: Place,
    is_short: bool,
    is_over: bool,
}

impl Turn {
    /// How long to wait before asking again; `None` once the bytes may move.
    ///
    /// # Errors
    /// `Interrupted` if the run was cancelled meanwhile.
    pub fn wait(&mut self) -> io::Result<Option<Duration>> {
        let left = self.pace.handle.with(self.direction, |bucket| bucket.wait_for(self.place));
        let Some(left) = left else {
            self.is_over = true;
            return Ok(None);
        };
        if !self.pace.cancel.is_cancelled() {
            // It is not the service that lets us wait.
            waiting::is_alive();
            return Ok(Some(left.min(LOOK_AGAIN)));
        }
        self.leave();
        match self.is_short {
            true => Ok(None),
            false => Err(io::Error::new(
                io::ErrorKind::Interrupted,
                "the run was cancelled while this waited for its share of the bandwidth",
            )),
        }
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.pace.handle.with(self.direction, |bucket| bucket.leave(self.bytes));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.leave();
    }
}
