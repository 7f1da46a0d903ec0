//! Jobs of this process.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::bus::EventBus;
use super::event::Happening;
use super::job::{
    JobId, JobKind, JobOutcome, JobPage, JobQuery, JobStatus, JobView, LogLevel, LogLine,
};
use super::store::Store;
use crate::error::{Error, Result};
use crate::manager::history::Database;
use crate::manager::progress::{EventKind, EventProgress, ProgressEvent};
use crate::model::RepoId;
use crate::runtime::{CancelToken, Runtime};

/// Least time between two events about the progress of one job, milliseconds.
const PROGRESS_EVERY_MS: i64 = 500;

/// A job that is to start.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The repository it is about, by the name that the fleet gives it.
    pub repository: String,
    /// The same by its id.
    pub repo_id: RepoId,
    /// What it does.
    pub kind: JobKind,
    /// In a few words.
    pub title: String,
    /// The schedule that wants it.
    pub schedule_id: Option<String>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Who wants it: `schedule`, or the name of a user.
    pub wanted_by: String,
}

/// All jobs: those of this process, and those of before.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Board(Arc<Shared>);

struct Shared {
    database: Arc<Database>,
    bus: EventBus,
    runtime: Runtime,
    live: Mutex<HashMap<JobId, Live>>,
}

struct Live {
    view: JobView,
    cancel: CancelToken,
    /// Lines of its log so far.
    lines: u32,
}

/// What a job gets to work with.
#[derive(Clone)]
pub struct JobHandle {
    board: Board,
    id: JobId,
    runtime: Runtime,
}

impl Board {
    /// Remembers in `database`, and tells of everything on `bus`. Clock and randomness are those of
    /// `runtime`.
    pub fn new(database: Arc<Database>, bus: EventBus, runtime: Runtime) -> Self {
        Self(Arc::new(Shared { database, bus, runtime, live: Mutex::default() }))
    }

    /// Where it tells of jobs.
    pub fn bus(&self) -> &EventBus {
        &self.0.bus
    }

    /// Where jobs are remembered.
    pub fn database(&self) -> &Arc<Database> {
        &self.0.database
    }

    /// Does a job on this thread. `cancel` ends it, as does [`Board::cancel`].
    ///
    /// # Errors
    /// What `work` returns; [`Error::Internal`] if it panics.
    pub fn run(
        &self,
        new: NewJob,
        cancel: &CancelToken,
        work: impl FnOnce(&JobHandle) -> Result<JobOutcome>,
    ) -> Result<JobOutcome> {
        let (handle, progress) = self.begin(new, cancel);
        let done = catch_unwind(AssertUnwindSafe(|| work(&handle)));
        let done = done.unwrap_or_else(|_| Err(Error::Internal { what: "a job panicked".into() }));
        progress.end();
        self.end(&handle, &done);
        done
    }

    /// Does a job on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system gives no thread.
    pub fn start(
        &self,
        new: NewJob,
        work: impl FnOnce(&JobHandle) -> Result<JobOutcome> + Send + 'static,
    ) -> Result<JobId> {
        let (handle, progress) = self.begin(new, &CancelToken::default());
        let (board, own) = (self.clone(), handle.clone());
        let run = move || {
            let done = catch_unwind(AssertUnwindSafe(|| work(&own)));
            let panicked = || Err(Error::Internal { what: "a job panicked".into() });
            let done = done.unwrap_or_else(|_| panicked());
            progress.end();
            board.end(&own, &done);
        };
        if let Err(error) = std::thread::Builder::new().name("job".into()).spawn(run) {
            let failed = Error::Internal { what: format!("no thread for a job: {error}") };
            let what = failed.to_string();
            self.end(&handle, &Err(failed));
            return Err(Error::Internal { what });
        }
        Ok(handle.id)
    }

    /// Asks a job of this process to end. Whether it is one.
    pub fn cancel(&self, id: &JobId) -> bool {
        let live = self.0.live.lock();
        let job = live.get(id);
        if let Some(job) = job {
            job.cancel.cancel();
        }
        job.is_some()
    }

    /// Asks all jobs of this process to end.
    pub fn cancel_all(&self) {
        self.0.live.lock().values().for_each(|job| job.cancel.cancel());
    }

    /// The jobs of this process that go on, oldest first.
    pub fn live(&self) -> Vec<JobView> {
        let mut views: Vec<_> = self.0.live.lock().values().map(|job| job.view.clone()).collect();
        views.sort_by(|a, b| (a.started, &a.job_id).cmp(&(b.started, &b.job_id)));
        views
    }

    /// A job, of this process or of before.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Local`] if the database cannot be read.
    pub fn get(&self, id: &JobId) -> Result<JobView> {
        if let Some(job) = self.0.live.lock().get(id) {
            return Ok(job.view.clone());
        }
        let missing = || Error::NotFound { what: "job", name: id.to_string() };
        self.store().get(id)?.ok_or_else(missing)
    }

    /// Jobs of this process and of before, newest first.
    ///
    /// # Errors
    /// [`Error::Local`] if the database cannot be read.
    pub fn list(&self, query: &JobQuery) -> Result<JobPage> {
        let mut page = self.store().list(query)?;
        let live = self.0.live.lock();
        for job in &mut page.jobs {
            if let Some(now) = live.get(&job.job_id) {
                *job = now.view.clone();
            }
        }
        Ok(page)
    }

    /// The log of a job.
    ///
    /// # Errors
    /// As [`Board::get`].
    pub fn log(&self, id: &JobId) -> Result<Vec<LogLine>> {
        self.get(id)?;
        self.store().log(id)
    }

    /// Says of jobs whose process is gone that they were interrupted, and returns them. For the
    /// start of a program.
    ///
    /// # Errors
    /// [`Error::Local`] if the database cannot be used.
    pub fn settle(&self) -> Result<Vec<JobView>> {
        self.store().settle(self.now_ms())
    }

    fn store(&self) -> Store<'_> {
        Store::new(&self.0.database)
    }

    fn now_ms(&self) -> i64 {
        self.0.runtime.clock.now_ms()
    }

    fn begin(&self, new: NewJob, cancel: &CancelToken) -> (JobHandle, Arc<EventProgress>) {
        let id = JobId::new(&self.0.runtime.random);
        let view = JobView {
            job_id: id.clone(),
            repository: new.repository,
            kind: new.kind,
            title: new.title,
            schedule_id: new.schedule_id,
            attempt: new.attempt,
            wanted_by: new.wanted_by,
            status: JobStatus::Running,
            started: timestamp(self.now_ms()),
            ended: None,
            progress: None,
            backup_id: None,
            error: None,
            hint: None,
            warnings: 0,
            result: serde_json::Value::Null,
        };
        let progress = Arc::new(self.progress_of(&id));
        let runtime = Runtime {
            cancel: cancel.clone(),
            progress: progress.clone(),
            ..self.0.runtime.clone()
        };
        self.warn_if(self.store().begin(&view, new.repo_id));
        let live = Live { view: view.clone(), cancel: cancel.clone(), lines: 0 };
        self.0.live.lock().insert(id.clone(), live);
        let repository = view.repository.clone();
        self.0.bus.tell(Some(&repository), Happening::JobStarted { job: Box::new(view) });
        (JobHandle { board: self.clone(), id, runtime }, progress)
    }

    fn progress_of(&self, id: &JobId) -> EventProgress {
        let (board, id) = (self.clone(), id.clone());
        let told_ms = AtomicI64::new(i64::MIN);
        EventProgress::new(move |event| {
            if let Some(issue) = &event.issue {
                let level = if issue.is_failure { LogLevel::Error } else { LogLevel::Warning };
                let message = match issue.path.is_empty() {
                    true => issue.message.clone(),
                    false => format!("{}: {}", issue.path, issue.message),
                };
                board.log_line(&id, level, message);
            }
            let now_ms = board.now_ms();
            let is_due = now_ms.saturating_sub(told_ms.load(Ordering::Relaxed)).unsigned_abs()
                >= PROGRESS_EVERY_MS.unsigned_abs();
            let is_wanted = is_due || event.kind == EventKind::Phase;
            let repository = board.note_progress(&id, &event);
            if let Some(repository) = repository.filter(|_| is_wanted) {
                told_ms.store(now_ms, Ordering::Relaxed);
                let progress = Box::new(event);
                let happening = Happening::JobProgress { job_id: id.clone(), progress };
                board.0.bus.tell(Some(&repository), happening);
            }
        })
    }

    /// The repository of the job, if it still goes on.
    fn note_progress(&self, id: &JobId, event: &ProgressEvent) -> Option<String> {
        let mut live = self.0.live.lock();
        let job = live.get_mut(id)?;
        job.view.progress = Some(ProgressEvent { issue: None, ..event.clone() });
        Some(job.view.repository.clone())
    }

    fn log_line(&self, id: &JobId, level: LogLevel, message: String) {
        let before = self.0.live.lock().get_mut(id).map(|job| {
            job.view.warnings += u32::from(level != LogLevel::Info);
            job.lines = job.lines.saturating_add(1);
            job.lines - 1
        });
        let line = LogLine { time: timestamp(self.now_ms()), level, message };
        self.warn_if(self.store().add_line(id, &line, before));
    }

    fn end(&self, handle: &JobHandle, done: &Result<JobOutcome>) {
        if let Err(error) = done {
            self.log_line(&handle.id, LogLevel::Error, error.in_full());
        }
        let Some(job) = self.0.live.lock().remove(&handle.id) else { return };
        let mut view = job.view;
        view.ended = Some(timestamp(self.now_ms()));
        view.progress = None;
        match done {
            Ok(outcome) => {
                view.status = JobStatus::Succeeded;
                view.backup_id = outcome.backup_id;
                view.result.clone_from(&outcome.result);
            }
            Err(error) => {
                view.status = match error {
                    Error::Cancelled { .. } => JobStatus::Cancelled,
                    _ => JobStatus::Failed,
                };
                view.error = Some(error.in_full());
                view.hint = error.hint();
            }
        }
        self.warn_if(self.store().end(&view));
        let repository = view.repository.clone();
        self.0.bus.tell(Some(&repository), Happening::JobEnded { job: Box::new(view) });
    }

    /// What cannot be remembered is no reason not to do it.
    fn warn_if(&self, stored: Result<()>) {
        if let Err(error) = stored {
            tracing::warn!("a job is not remembered: {}", error.in_full());
        }
    }
}

impl JobHandle {
    /// Its id.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Clock, randomness, progress that is shown with the job, and the token that ends it.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Shows figures with the job, also if it fails.
    pub fn note_result(&self, result: serde_json::Value) {
        if let Some(job) = self.board.0.live.lock().get_mut(&self.id) {
            job.view.result = result;
        }
    }

    /// Adds a line to the log of the job.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        self.board.log_line(&self.id, level, message.into());
    }
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
