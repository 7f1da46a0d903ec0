//! Events, and what makes them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use serde::Serialize;

use super::{Counters, Rates};
use crate::model::escape_bytes;
use crate::runtime::{Issue, IssueKind, NoProgress, Phase, Progress};

/// The least time between two events that only tell of counts.
const STEP: Duration = Duration::from_millis(100);

/// Events that wait for a slow reader at most; then the oldest go.
const WAITING_MAX: usize = 1_000;

/// How far an operation is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct ProgressEvent {
    /// Why there is an event.
    pub kind: EventKind,
    /// What the operation is doing; `None` before the first phase.
    #[cfg_attr(feature = "serve", schema(value_type = Option<String>))]
    pub phase: Option<Phase>,
    /// Milliseconds since its start.
    pub elapsed_ms: u64,
    /// Files done; folders, links and the like count too. In phases that are about stored data,
    /// packs or other objects.
    pub files_done: u64,
    /// Files found so far, or in all (see [`ProgressEvent::total_known`]).
    pub files_total: u64,
    /// Bytes of these files that are done.
    pub bytes_done: u64,
    /// Bytes of the files found so far, or in all.
    pub bytes_total: u64,
    /// Whether the totals are final, or at least an estimate of all.
    pub total_known: bool,
    /// The part that is done, 0 to 1, as soon as the totals are known.
    pub fraction_done: Option<f64>,
    /// Bytes done in a second, on average over the last seconds.
    pub bytes_per_second: u64,
    /// When it will end if it goes on like this, milliseconds from now.
    pub eta_ms: Option<u64>,
    /// Bytes that went to or came from storage.
    pub transferred_bytes: u64,
    /// Bytes that are ready for storage and not there yet.
    pub waiting_bytes: u64,
    /// A file that is worked on, escaped where it is no text.
    pub current: Option<String>,
    /// Warnings so far.
    pub warnings: u64,
    /// Files that failed so far.
    pub errors: u64,
    /// The trouble that this event tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<EventIssue>,
}

/// Why there is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A phase begins.
    Phase,
    /// Some time has passed.
    Progress,
    /// Something is wrong with one file; the operation goes on.
    Issue,
    /// The operation ended, well or not: no event comes after it.
    End,
}

/// One file or thing that did not go as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct EventIssue {
    /// Whether the file is missing from the result; otherwise it is a warning.
    pub is_failure: bool,
    /// The file, escaped where it is no text; empty if it is about the whole operation.
    pub path: String,
    /// What happened.
    pub message: String,
}

/// Makes events out of what the engine reports: at most about ten a second, and one for each phase,
/// for each issue, and for the end.
///
/// Events are made on the engine's threads, so whoever takes them must be quick;
/// [`EventProgress::channel`] never lets the engine wait.
pub struct EventProgress {
    sink: Box<dyn Fn(ProgressEvent) + Send + Sync>,
    /// Is told everything, too.
    also: Arc<dyn Progress>,
    counters: Counters,
    start: Instant,
    rates: Mutex<Rates>,
    /// Milliseconds after the start from which on an event about counts is due.
    due_ms: AtomicU64,
}

impl EventProgress {
    /// Gives events to `sink`, from any thread, one at a time.
    pub fn new(sink: impl Fn(ProgressEvent) + Send + Sync + 'static) -> Self {
        Self {
            sink: Box::new(sink),
            also: Arc::new(NoProgress),
            counters: Counters::new(),
            start: Instant::now(),
            rates: Mutex::default(),
            due_ms: AtomicU64::new(STEP.as_millis() as u64),
        }
    }

    /// Gives events to a channel, which closes when this is dropped. A reader that is slow, or
    /// does not read at all, misses the oldest.
    pub fn channel() -> (Self, Receiver<ProgressEvent>) {
        let (sender, receiver) = bounded(WAITING_MAX);
        let oldest = receiver.clone();
        (Self::new(move |event| send(&sender, &oldest, event)), receiver)
    }

    /// Passes all reports on to `other`, too.
    pub fn and(self, other: Arc<dyn Progress>) -> Self {
        Self { also: other, ..self }
    }

    /// Says that the operation ended.
    pub fn end(&self) {
        self.tell(EventKind::End, None);
    }

    fn tell(&self, kind: EventKind, issue: Option<EventIssue>) {
        // Held while the event is given away, so that events come in their order.
        let mut rates = self.rates.lock();
        let elapsed = self.start.elapsed();
        let view = rates.view(self.counters.read(), elapsed);
        let fraction_done = view.fraction();
        let reading = view.reading;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        (self.sink)(ProgressEvent {
            kind,
            phase: reading.phase,
            elapsed_ms: millis(elapsed),
            files_done: reading.done_entries,
            files_total: reading.expected_entries.max(reading.done_entries),
            bytes_done: reading.done_bytes,
            bytes_total: reading.expected_bytes.max(reading.done_bytes),
            total_known: reading.complete,
            fraction_done,
            bytes_per_second: view.bytes_per_second as u64,
            eta_ms: view.remaining.map(millis),
            transferred_bytes: reading.transferred_bytes,
            waiting_bytes: reading.waiting_bytes,
            current: (!reading.current.is_empty())
                .then(|| escape_bytes(&reading.current).into_owned()),
            warnings: reading.warnings,
            errors: reading.failures,
            issue,
        });
    }

    /// Tells of the counts if nobody did for a while.
    fn tick(&self) {
        let elapsed_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        let next_ms = elapsed_ms.saturating_add(STEP.as_millis() as u64);
        let is_mine = elapsed_ms >= due_ms
            && self
                .due_ms
                .compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_mine {
            self.tell(EventKind::Progress, None);
        }
    }
}

/// Puts an event into a channel; if it is full, in place of the oldest.
fn send(sender: &Sender<ProgressEvent>, oldest: &Receiver<ProgressEvent>, event: ProgressEvent) {
    let mut event = event;
    while let Err(TrySendError::Full(back)) = sender.try_send(event) {
        let _ = oldest.try_recv();
        event = back;
    }
}

impl Progress for EventProgress {
    fn phase(&self, phase: Phase) {
        self.also.phase(phase);
        self.counters.enter(phase);
        self.tell(EventKind::Phase, None);
    }

    fn expect(&self, entries: u64, bytes: u64) {
        self.also.expect(entries, bytes);
        self.counters.expect(entries, bytes);
    }

    fn estimate(&self, entries: u64, bytes: u64) {
        self.also.estimate(entries, bytes);
        self.counters.estimate.set(entries, bytes);
    }

    fn wants_estimate(&self) -> bool {
        true
    }

    fn expect_no_more(&self) {
        self.also.expect_no_more();
        self.counters.expect_no_more();
    }

    fn done(&self, entries: u64, bytes: u64) {
        self.also.done(entries, bytes);
        self.counters.done(entries, bytes);
        self.tick();
    }

    fn current(&self, path: &Path) {
        self.also.current(path);
        self.counters.current(path);
    }

    fn waiting(&self, change: i64) {
        self.also.waiting(change);
        self.counters.waiting(change);
    }

    fn transferred(&self, bytes: u64) {
        self.also.transferred(bytes);
        self.counters.transferred(bytes);
        self.tick();
    }

    fn issue(&self, issue: &Issue) {
        self.also.issue(issue);
        let is_failure = issue.kind == IssueKind::Failed;
        if is_failure {
            self.counters.failed();
        } else {
            self.counters.warned();
        }
        let path = escape_bytes(&issue.path).into_owned();
        let message = issue.message.clone();
        self.tell(EventKind::Issue, Some(EventIssue { is_failure, path, message }));
    }

    fn detail(&self, verb: &'static str, path: &[u8]) {
        self.also.detail(verb, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_read_misses_the_oldest_only() {
        let (progress, events) = EventProgress::channel();
        progress.phase(Phase::Opening);
        for number in 0..WAITING_MAX + 10 {
            let message = number.to_string();
            progress.issue(&Issue { kind: IssueKind::Failed, path: b"a\xFF".to_vec(), message });
        }
        progress.end();
        drop(progress);
        let events: Vec<ProgressEvent> = events.iter().collect();
        assert_eq!(events.len(), WAITING_MAX);
        let last = events.last().expect("there are some");
        assert_eq!((last.kind, last.errors), (EventKind::End, WAITING_MAX as u64 + 10));
        let issue = events[0].issue.as_ref().expect("an issue");
        assert_eq!((issue.path.as_str(), issue.message.as_str()), ("a%FF", "11"));
    }

    #[test]
    fn counts_are_told_now_and_then() {
        let (progress, events) = EventProgress::channel();
        progress.phase(Phase::BackingUp);
        progress.expect(10_000, 10_000);
        progress.expect_no_more();
        for _ in 0..10_000 {
            progress.done(1, 1);
        }
        progress.end();
        let events: Vec<ProgressEvent> = events.try_iter().collect();
        assert!(events.len() < 100, "{} events", events.len());
        let last = events.last().expect("there are some");
        assert_eq!((last.files_done, last.bytes_total, last.total_known), (10_000, 10_000, true));
        assert_eq!(last.fraction_done, Some(1.0));
        let json = serde_json::to_value(last).expect("plain data");
        assert_eq!((&json["phase"], &json["kind"]), (&"backing_up".into(), &"end".into()));
    }
}
