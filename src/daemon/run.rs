//! From the start to the end of the process.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::supervisor::Supervisor;
use super::watch::Watch;
use crate::error::Result;
use crate::manager::fleet::Fleet;
use crate::manager::notify::{Notifier, NotifySettings};
use crate::manager::schedule::{SchedulerOptions, Slots};
use crate::runtime::{CancelToken, Runtime};
use crate::server::api::{About, ApiOptions, ApiState, Limits, router};
use crate::server::assets::with_pages;
use crate::server::audit::Audit;
use crate::server::auth::Auth;
use crate::server::listen::{Listener, Serving};

/// How long jobs may go on when the daemon is asked to end, if nobody says otherwise.
const GRACE: Duration = Duration::from_secs(60);
/// What was cancelled gets so long to put away what it has.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(20);
/// What waits for storage that does not answer is cut off after that, and gets so long.
const CUT_WAIT: Duration = Duration::from_secs(5);
/// How often one looks whether something is to be done.
const POLL: Duration = Duration::from_millis(100);
/// Jobs at the same time, if nobody says otherwise.
const PARALLEL: usize = 2;

/// What a [`Daemon`] works with.
pub struct DaemonOptions {
    /// The repositories, jobs and events.
    pub fleet: Arc<Fleet>,
    /// Who may come in.
    pub auth: Auth,
    /// What was asked of it.
    pub audit: Audit,
    /// Which folders requests may name.
    pub limits: Limits,
    /// Whom it tells what happens.
    pub notify: NotifySettings,
    /// The folder with its database and its audit log; `None` keeps nothing.
    pub state_dir: Option<PathBuf>,
    /// Clock and randomness.
    pub runtime: Runtime,
    /// Jobs of schedules at the same time; `None` takes two.
    pub max_parallel: Option<NonZeroUsize>,
    /// How long jobs may go on when it is asked to end; `None` takes a minute.
    pub grace: Option<Duration>,
    /// Set when it is to end.
    pub stop: CancelToken,
    /// Set by it when nothing may wait for storage any more.
    pub cut: CancelToken,
}

/// A daemon that answers and runs schedules.
pub struct Daemon {
    options: DaemonOptions,
    supervisor: Supervisor,
    watch: Watch,
    api: ApiState,
    serving: Serving,
    /// Tells people until it is dropped.
    _notifier: Notifier,
}

impl Daemon {
    /// Starts everything: jobs of a process before that did not end are shown as such, and the
    /// schedules make them again.
    ///
    /// # Errors
    /// [`Error::Local`](crate::error::Error::Local) and
    /// [`Error::Internal`](crate::error::Error::Internal) if the system gives no threads.
    pub fn start(listener: Listener, options: DaemonOptions) -> Result<Self> {
        let board = options.fleet.board();
        let settled = board.settle();
        for warning in board.database().take_warnings() {
            tracing::warn!("{warning}");
        }
        match settled {
            Ok(jobs) => {
                for job in jobs {
                    tracing::warn!("job {} ({}) was interrupted", job.job_id, job.title);
                }
            }
            Err(error) => tracing::error!("jobs of before are not known: {}", error.in_full()),
        }
        let (notify, runtime) = (options.notify.clone(), options.runtime.clone());
        let notifier = Notifier::start(&options.fleet, notify, runtime)?;
        let api = ApiState::new(ApiOptions {
            fleet: Arc::clone(&options.fleet),
            limits: options.limits.clone(),
            auth: options.auth.clone(),
            about: About {
                listen: Some(listener.address()),
                is_encrypted: listener.is_encrypted(),
                state_dir: options.state_dir.clone(),
                audit: Some(options.audit.clone()),
                notify: options.notify.clone(),
                max_parallel: options.max_parallel.map_or(PARALLEL, NonZeroUsize::get),
                grace: options.grace.unwrap_or(GRACE),
            },
        })?;
        let head = options.audit.head();
        tracing::info!("audit log ends with number {}, hash {}", head.number, head.hash);
        options.audit.record(None, "", "daemon started", 0, env!("CARGO_PKG_VERSION"));
        let serving = listener.start(with_pages(router(api.clone())), options.audit.clone())?;
        let max_parallel = options.max_parallel.map_or(PARALLEL, NonZeroUsize::get);
        // Shared by all repositories.
        let slots = Some(Slots::new(max_parallel));
        let schedules = SchedulerOptions { max_parallel, slots, ..SchedulerOptions::default() };
        let watch = Watch::start(options.fleet.sites(), board, &schedules)?;
        Ok(Self {
            supervisor: Supervisor::new(),
            watch,
            api,
            serving,
            _notifier: notifier,
            options,
        })
    }

    /// Works until it is asked to end, and then until what runs has ended: by itself within the
    /// grace, or else with what it has done so far stored, so that the next run goes on there.
    pub fn run(mut self) {
        let sites = self.options.fleet.sites().len();
        self.supervisor.ready(&format!("looking after {sites} repositories"));
        while !self.options.stop.is_cancelled() {
            self.supervisor.alive(|longest| self.serving.is_alive(longest));
            thread::sleep(POLL);
        }
        let grace = self.options.grace.unwrap_or(GRACE);
        tracing::info!("asked to end; jobs may go on for {} s", grace.as_secs());
        self.supervisor.stopping(grace + CHECKPOINT_WAIT + CUT_WAIT);
        self.watch.stop();
        self.api.stop();
        self.serving.stop();
        let board = self.options.fleet.board();
        let watch = &self.watch;
        let has_ended = || watch.has_ended() && board.live().is_empty();
        if !wait(grace, has_ended) {
            tracing::warn!("jobs are stopped: what they stored is used when they are made again");
            board.cancel_all();
            if !wait(CHECKPOINT_WAIT, has_ended) {
                self.options.cut.cancel();
                wait(CUT_WAIT, has_ended);
            }
        }
        for job in board.live() {
            tracing::error!("job {} ({}) did not end", job.job_id, job.title);
        }
        self.options.audit.record(None, "", "daemon ended", 0, "");
        let head = self.options.audit.head();
        tracing::info!("audit log ends with number {}, hash {}", head.number, head.hash);
    }
}

/// Whether `has_ended` comes true within so long.
fn wait(longest: Duration, has_ended: impl Fn() -> bool) -> bool {
    let until = Instant::now() + longest;
    while !has_ended() {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}
