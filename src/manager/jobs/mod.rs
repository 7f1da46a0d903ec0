//! Jobs on a repository: what schedules and people want done, each on the [`Board`] with a log,
//! progress and figures of what came of it.
//!
//! | Module | Subject |
//! |---|---|
//! | `run` | one job with its hooks, limits and turn |
//! | `backup`, `forget`, `maintain`, `check`, `restore_test` | what each kind does |
//! | `rotation` | which part of the stored bytes a check reads |
//! | `sample`, `compare`, `scratch` | a restore test: which files, whether they are right, where they are |
//! | `turn` | of several machines that look after one repository, one does a piece of maintenance |
//! | `hooks` | commands around a job |
//!
//! Not here: when a job is done (`schedule`), who is told of it (`notify`).

mod backup;
mod check;
mod compare;
mod forget;
mod hooks;
mod maintain;
mod restore_test;
mod rotation;
mod run;
mod sample;
mod scratch;
mod turn;

use std::path::PathBuf;
use std::sync::Arc;

pub use restore_test::{FileTrouble, RestoreTestReport};
pub(in crate::manager) use turn::is_done;

use super::board::{Board, JobId, JobKind, JobOutcome, NewJob};
use super::fleet::OpenSite;
use super::schedule::{Assignment, Done, Work, check_job, check_schedule, parse_bandwidth};
use crate::error::Result;
use crate::model::{BackupSchedule, BackupStrategy, Hooks, Job};
use crate::runtime::CancelToken;

/// Does jobs on one open repository. Clones are cheap.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    /// What the fleet calls the repository.
    name: String,
    open: Arc<OpenSite>,
    board: Board,
}

/// A job that is wanted.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// What is to be done.
    pub job: Job,
    /// Which kind of backup a backup is.
    pub strategy: BackupStrategy,
    /// In a few words; `None` says what it does.
    pub title: Option<String>,
    /// Who wants it: `schedule`, or the name of a user.
    pub wanted_by: String,
    /// Limits of transfers while it goes on, as
    /// [`BackupSchedule::bandwidth`](crate::model::BackupSchedule::bandwidth).
    pub bandwidth: Option<String>,
    /// Commands around it.
    pub hooks: Hooks,
    /// The schedule that wants it.
    pub schedule: Option<BackupSchedule>,
    /// 1 for the first attempt.
    pub attempt: u32,
}

impl JobRequest {
    /// A job that a person wants now.
    pub fn new(job: Job, wanted_by: impl Into<String>) -> Self {
        Self {
            job,
            strategy: BackupStrategy::default(),
            title: None,
            wanted_by: wanted_by.into(),
            bandwidth: None,
            hooks: Hooks::default(),
            schedule: None,
            attempt: 1,
        }
    }

    /// A run of a schedule.
    pub fn of_schedule(schedule: &BackupSchedule, attempt: u32) -> Self {
        Self {
            strategy: schedule.backup_type,
            title: Some(schedule.title()),
            bandwidth: schedule.bandwidth.clone(),
            hooks: schedule.hooks.clone(),
            schedule: Some(schedule.clone()),
            attempt,
            ..Self::new(schedule.job.clone(), "schedule")
        }
    }

    fn check(&self) -> Result<()> {
        check_job(&self.job)?;
        if let Some(schedule) = &self.schedule {
            check_schedule(schedule)?;
        }
        self.bandwidth.as_deref().map(parse_bandwidth).transpose().map(|_| ())
    }
}

impl Jobs {
    /// Jobs on the repository that the fleet calls `name`, shown on `board`.
    pub fn new(name: &str, open: Arc<OpenSite>, board: Board) -> Self {
        Self(Arc::new(Shared { name: name.to_owned(), open, board }))
    }

    /// What runs of schedules do, for
    /// [`Scheduler::start_with`](super::schedule::Scheduler::start_with).
    pub fn work(&self) -> Work {
        let jobs = self.clone();
        Arc::new(move |assignment: &Assignment| {
            let request = JobRequest::of_schedule(&assignment.schedule, assignment.attempt);
            let mut done = Done::default();
            let outcome = jobs.run_noting(&request, &assignment.cancel, &mut done)?;
            done.backup_id = outcome.backup_id;
            Ok(done)
        })
    }

    /// Does a job on a thread of its own, and returns at once.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for what makes no sense, and as
    /// [`Board::start`].
    pub fn start(&self, request: &JobRequest) -> Result<JobId> {
        request.check()?;
        let (jobs, request) = (self.clone(), request.clone());
        self.0.board.start(self.new_job(&request), move |handle| {
            run::run(&jobs.0, &request, handle, &mut Done::default())
        })
    }

    /// Does a job on this thread. `cancel` ends it.
    ///
    /// # Errors
    /// As [`Jobs::start`], and what keeps the job from being done: among that
    /// [`Error::Damaged`](crate::error::Error::Damaged) if a check or a restore test found damage.
    pub fn run(&self, request: &JobRequest, cancel: &CancelToken) -> Result<JobOutcome> {
        self.run_noting(request, cancel, &mut Done::default())
    }

    fn run_noting(
        &self,
        request: &JobRequest,
        cancel: &CancelToken,
        done: &mut Done,
    ) -> Result<JobOutcome> {
        let work = |handle: &_| {
            request.check()?;
            run::run(&self.0, request, handle, done)
        };
        self.0.board.run(self.new_job(request), cancel, work)
    }

    fn new_job(&self, request: &JobRequest) -> NewJob {
        NewJob {
            repository: self.0.name.clone(),
            repo_id: self.0.open.manager.repository().id(),
            kind: kind_of(&request.job),
            title: request.title.clone().unwrap_or_else(|| request.job.to_string()),
            schedule_id: request.schedule.as_ref().map(|one| one.schedule_id.clone()),
            attempt: request.attempt,
            wanted_by: request.wanted_by.clone(),
        }
    }
}

impl Shared {
    /// Where restore tests put what they restore.
    fn scratch_folder(&self) -> PathBuf {
        let state_dir = self.open.manager.options().state_dir.clone();
        state_dir.unwrap_or_else(std::env::temp_dir).join("restore-tests")
    }
}

fn kind_of(job: &Job) -> JobKind {
    match job {
        Job::Backup(_) => JobKind::Backup,
        Job::Forget(_) => JobKind::Forget,
        Job::Prune => JobKind::Prune,
        Job::Check(_) => JobKind::Check,
        Job::MirrorSync(_) => JobKind::MirrorSync,
        Job::Heal => JobKind::Heal,
        Job::RestoreTest(_) => JobKind::RestoreTest,
    }
}
