//! The thread that sends messages.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::channel;
use super::find::{Finder, blank};
use super::notice::NoticeEvent;
use super::patrol::Patrol;
use super::queue::{Due, Queue};
use super::settings::{ChannelView, NotifySettings};
use crate::error::{Error, Result};
use crate::manager::board::{Board, Happening};
use crate::manager::fleet::Fleet;
use crate::manager::history::Database;
use crate::runtime::{CancelToken, Runtime};

/// How soon it notices that it is to end.
const TICK: Duration = Duration::from_millis(250);

/// How often it looks whether there is something to do that nobody woke it for: what other
/// processes found.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Tells people what happens with the repositories of a fleet, until it is dropped.
///
/// What was not sent when it ends is sent by the next one.
pub struct Notifier {
    board: Board,
    settings: Arc<Mutex<Arc<NotifySettings>>>,
    runtime: Runtime,
    cancel: CancelToken,
    threads: Vec<JoinHandle<()>>,
}

impl Notifier {
    /// Starts to look after `fleet`, and to tell of what happens to it. Clock and randomness are those of `runtime`.
    /// Start it after [`Board::settle`]: then it tells of jobs, too, that the last process left.
    ///
    /// # Errors
    /// [`Error::Usage`] for settings that make no sense; [`Error::Internal`] if the system gives no
    /// thread.
    pub fn start(fleet: &Arc<Fleet>, settings: NotifySettings, runtime: Runtime) -> Result<Self> {
        settings.check()?;
        let settings = Arc::new(Mutex::new(Arc::new(settings)));
        let cancel = CancelToken::default();
        let runner = Runner {
            fleet: Arc::clone(fleet),
            board: fleet.board().clone(),
            settings: Arc::clone(&settings),
            runtime: runtime.clone(),
            cancel: cancel.clone(),
        };
        let patrol =
            Patrol { fleet: Arc::clone(fleet), runtime: runtime.clone(), cancel: cancel.clone() };
        let board = fleet.board().clone();
        let mut notifier = Self { board, settings, runtime, cancel, threads: Vec::new() };
        notifier.threads.push(thread("notify", move || runner.run())?);
        // If there is no thread for it, dropping ends the other one.
        notifier.threads.push(thread("patrol", move || patrol.run())?);
        Ok(notifier)
    }

    /// Goes on with other settings. Messages that wait for a channel that is no more are dropped.
    ///
    /// # Errors
    /// [`Error::Usage`] for settings that make no sense; the old ones stay then.
    pub fn replace(&self, settings: NotifySettings) -> Result<()> {
        settings.check()?;
        *self.settings.lock() = Arc::new(settings);
        Ok(())
    }

    /// The channels, and what waits for them.
    ///
    /// # Errors
    /// [`Error::Local`] if the database cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelView>> {
        let settings = Arc::clone(&self.settings.lock());
        settings.views(self.board.database())
    }

    /// Sends a message to a channel now, so that a person sees whether it arrives.
    ///
    /// # Errors
    /// As [`NotifySettings::try_channel`].
    pub fn try_channel(&self, name: &str) -> Result<()> {
        let settings = Arc::clone(&self.settings.lock());
        settings.try_channel(name, &self.runtime)
    }
}

/// Ends it. A message that is on its way gets half a minute to arrive.
impl Drop for Notifier {
    fn drop(&mut self) {
        self.cancel.cancel();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl NotifySettings {
    /// The channels without their secrets, and what waits for them.
    ///
    /// # Errors
    /// [`Error::Local`] if the database cannot be read.
    pub fn views(&self, database: &Database) -> Result<Vec<ChannelView>> {
        let queue = Queue::new(database);
        let view = |channel: &super::ChannelSettings| {
            let waiting = queue.waiting(&channel.name)?;
            let (count, error) = (waiting.count, waiting.error);
            Ok(ChannelView { waiting: count, error, ..channel.view() })
        };
        self.channels.iter().map(view).collect()
    }

    /// Sends a message to a channel, so that a person sees whether it arrives.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such channel; [`Error::Usage`] with the reason if the
    /// message did not arrive.
    pub fn try_channel(&self, name: &str, runtime: &Runtime) -> Result<()> {
        let channel = self.channel(name)?;
        let message = "This is a test: messages of larder arrive here.".to_owned();
        let notice = blank(runtime, NoticeEvent::Test, "a test".into(), message);
        let now_ms = runtime.clock.now_ms();
        channel::deliver(channel, &notice, now_ms, &runtime.cancel)
            .map_err(|why| channel.wrong(&why, "mend its settings and try again"))
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(|error| Error::Internal { what: format!("no thread: {error}") })
}

struct Runner {
    fleet: Arc<Fleet>,
    board: Board,
    settings: Arc<Mutex<Arc<NotifySettings>>>,
    runtime: Runtime,
    cancel: CancelToken,
}

impl Runner {
    fn run(&self) {
        // Whatever happened before is in the database.
        let mut seen = self.board.bus().newest_id();
        let mut next_due_ms = None;
        let mut looked: Option<Instant> = None;
        while !self.cancel.is_cancelled() {
            let is_woken = self.listen(&mut seen);
            let is_due = next_due_ms.is_some_and(|due_ms| due_ms <= self.now_ms());
            if is_woken || is_due || looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                next_due_ms = self.look().unwrap_or_else(|error| {
                    tracing::warn!("messages cannot be sent: {}", error.in_full());
                    None
                });
            }
            self.board.bus().wait(seen, TICK);
        }
    }

    /// Takes in what happened. Whether there may be something to tell.
    fn listen(&self, seen: &mut u64) -> bool {
        let events = match self.board.bus().since(*seen) {
            Ok(events) => events,
            Err(missed) => {
                *seen = missed.newest_id;
                return true;
            }
        };
        let settings = self.settings();
        let finder = self.finder(&settings);
        let mut is_woken = false;
        for event in events {
            *seen = event.id;
            match &event.happening {
                Happening::JobStarted { job } => {
                    if let Err(error) = finder.started(job) {
                        tracing::warn!("a start is not told of: {}", error.in_full());
                    }
                    is_woken = true;
                }
                Happening::JobEnded { .. } | Happening::AlertRaised { .. } => is_woken = true,
                Happening::AlertCleared { .. } | Happening::SettingsChanged => is_woken = true,
                _ => {}
            }
        }
        is_woken
    }

    /// Finds what is to be told, and sends what is due. Returns when the next message is.
    fn look(&self) -> Result<Option<i64>> {
        let settings = self.settings();
        self.finder(&settings).find()?;
        let queue = Queue::new(self.board.database());
        queue.release(self.now_ms())?;
        while let Some(due) = queue.next(self.now_ms())? {
            if self.cancel.is_cancelled() {
                break;
            }
            self.send(&queue, &settings, &due)?;
        }
        queue.next_due_ms(self.now_ms())
    }

    fn send(&self, queue: &Queue<'_>, settings: &NotifySettings, due: &Due) -> Result<()> {
        let Ok(channel) = settings.channel(&due.channel) else { return queue.drop_one(due) };
        if !queue.admit(channel, due, self.now_ms())? {
            return Ok(());
        }
        match channel::deliver(channel, &due.notice, self.now_ms(), &self.cancel) {
            Ok(()) => queue.arrived(due, self.now_ms()),
            // It was interrupted: the next notifier sends it.
            Err(_) if self.cancel.is_cancelled() => Ok(()),
            Err(why) => {
                let waits = queue.failed(due, &why, channel.is_ping(), self.now_ms())?;
                let then = if waits { "it is tried again" } else { "it is given up" };
                tracing::warn!("a message did not reach channel `{}`: {why}; {then}", channel.name);
                Ok(())
            }
        }
    }

    fn finder<'f>(&'f self, settings: &'f NotifySettings) -> Finder<'f> {
        let (board, fleet, runtime) = (&self.board, &*self.fleet, &self.runtime);
        Finder { board, fleet, channels: &settings.channels, runtime }
    }

    fn settings(&self) -> Arc<NotifySettings> {
        Arc::clone(&self.settings.lock())
    }

    fn now_ms(&self) -> i64 {
        self.runtime.clock.now_ms()
    }
}
