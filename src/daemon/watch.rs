//! Opens a repository as soon as it can be, and runs its schedules.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::manager::board::{Board, Happening};
use crate::manager::fleet::{OpenSite, Site};
use crate::manager::jobs::Jobs;
use crate::manager::schedule::{ScheduleEvent, Scheduler, SchedulerOptions};
use crate::runtime::CancelToken;

/// A repository that cannot be opened is tried again so often.
const TRY_EVERY: Duration = Duration::from_secs(20);
/// How often one looks whether to end.
const POLL: Duration = Duration::from_millis(100);

/// A thread for each repository.
pub(super) struct Watch {
    stop: CancelToken,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Starts to look after `sites`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system gives no threads.
    pub(super) fn start(
        sites: &[Arc<Site>],
        board: &Board,
        options: &SchedulerOptions,
    ) -> Result<Self> {
        let stop = CancelToken::default();
        let mut threads = Vec::new();
        for site in sites {
            let (site, board, options) = (Arc::clone(site), board.clone(), options.clone());
            let token = stop.clone();
            let thread = thread::Builder::new()
                .name("repository".into())
                .spawn(move || look_after(&site, &board, &options, &token))
                .map_err(|error| Error::Internal { what: format!("no thread: {error}") })?;
            threads.push(thread);
        }
        Ok(Self { stop, threads })
    }

    /// Starts no more runs. Those that go on go on.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether all runs of schedules have ended, after [`Watch::stop`].
    pub(super) fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

fn look_after(site: &Site, board: &Board, options: &SchedulerOptions, stop: &CancelToken) {
    let Some(open) = open(site, stop) else { return };
    for warning in open.manager.database().take_warnings() {
        warn(board, site, warning);
    }
    let work = Jobs::new(site.name(), Arc::clone(&open), board.clone()).work();
    let (bus, name) = (board.bus().clone(), site.name().to_owned());
    let tell = move |event: &ScheduleEvent| {
        let schedule_id = match event {
            ScheduleEvent::Warning { message, .. } => {
                let message = message.clone();
                return bus.tell(Some(&name), Happening::Warning { message });
            }
            ScheduleEvent::Started { schedule_id, .. }
            | ScheduleEvent::Succeeded { schedule_id, .. }
            | ScheduleEvent::Failed { schedule_id, .. }
            | ScheduleEvent::Stopped { schedule_id } => schedule_id.clone(),
        };
        bus.tell(Some(&name), Happening::ScheduleChanged { schedule_id });
    };
    let options = SchedulerOptions { on_event: Some(Arc::new(tell)), ..options.clone() };
    let scheduler = match Scheduler::start_with(&open.manager, options, work) {
        Ok(scheduler) => scheduler,
        Err(error) => return warn(board, site, format!("no schedules run: {}", error.in_full())),
    };
    while !stop.is_cancelled() {
        thread::sleep(POLL);
    }
    scheduler.finish();
}

/// The open repository, or none if it is to end before there is one.
fn open(site: &Site, stop: &CancelToken) -> Option<Arc<OpenSite>> {
    let mut said = None;
    loop {
        match site.open_now() {
            Ok(open) => {
                tracing::info!("repository `{}` is open", site.name());
                return Some(open);
            }
            Err(error) => {
                let why = error.in_full();
                if said.as_ref() != Some(&why) {
                    let hint = error.hint().unwrap_or_default();
                    let name = site.name();
                    tracing::error!("repository `{name}` cannot be opened: {why}; {hint}");
                }
                said = Some(why);
            }
        }
        let until = Instant::now() + TRY_EVERY;
        while Instant::now() < until {
            if stop.is_cancelled() {
                return None;
            }
            thread::sleep(POLL);
        }
    }
}

fn warn(board: &Board, site: &Site, message: String) {
    tracing::warn!("{}: {message}", site.name());
    board.bus().tell(Some(site.name()), Happening::Warning { message });
}
