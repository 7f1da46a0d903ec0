//! What all answers are made from.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::limits::Limits;
use super::problem::Problem;
use crate::error::Result as EngineResult;
use crate::manager::BackupManager;
use crate::manager::board::{EventBus, Happening};
use crate::manager::fleet::{Fleet, OpenSite, Site};
use crate::manager::notify::NotifySettings;
use crate::manager::recovery::RecoveryManager;
use crate::server::Threads;
use crate::server::audit::Audit;
use crate::server::auth::Auth;
use crate::view::{View, ViewOptions};

/// Threads that wait for storage and the database in place of async tasks.
const THREADS: usize = 16;
/// Requests about one repository at a time: one that does not answer must not hold up the others.
const PER_SITE: usize = 8;
/// Archives that are made at a time, each on a thread of its own.
const ARCHIVES: usize = 4;
/// Listeners to events at a time.
const STREAMS: usize = 256;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// How old lists of snapshots may be, unless something happened in this process.
const SHOWN_AGE: Duration = Duration::from_secs(2);
/// Bytes of decoded pages that are kept for each repository.
const PAGES: usize = 16 << 20;
/// Bytes that are kept of files which are being sent, for each repository.
const READ_AHEAD: usize = 32 << 20;

/// What the API is made with.
pub struct ApiOptions {
    /// The repositories, and what goes on with them.
    pub fleet: Arc<Fleet>,
    /// Which folders may be named.
    pub limits: Limits,
    /// Who may come in.
    pub auth: Auth,
    /// How the daemon works, for those who look after it.
    pub about: About,
}

/// How a daemon works.
#[derive(Clone, Default)]
pub struct About {
    /// Where it answers.
    pub listen: Option<SocketAddr>,
    /// Whether connections are encrypted.
    pub is_encrypted: bool,
    /// The folder with its database and its audit log; none if it keeps nothing.
    pub state_dir: Option<PathBuf>,
    /// What was asked of it.
    pub audit: Option<Audit>,
    /// Whom it tells what happens.
    pub notify: NotifySettings,
    /// Jobs of schedules at the same time.
    pub max_parallel: usize,
    /// How long jobs may go on when it is asked to end.
    pub grace: Duration,
}

/// What all answers are made from. Clones share everything.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

struct Shared {
    fleet: Arc<Fleet>,
    limits: Limits,
    auth: Auth,
    about: About,
    threads: Threads,
    gates: HashMap<String, Arc<Semaphore>>,
    archives: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    shelves: Mutex<HashMap<String, Arc<Shelf>>>,
    stopping: watch::Sender<bool>,
}

/// An open repository with what is kept to answer quickly.
pub(super) struct Shelf {
    name: String,
    open: Arc<OpenSite>,
    bus: EventBus,
    view: Mutex<Option<Arc<View>>>,
    /// The event that the list of snapshots is newer than.
    seen_id: AtomicU64,
}

impl ApiState {
    /// The state of an API.
    ///
    /// # Errors
    /// [`Error::Local`](crate::error::Error::Local) if the system gives no threads.
    pub fn new(options: ApiOptions) -> EngineResult<Self> {
        let sites = options.fleet.sites().iter();
        let gate = |site: &Arc<Site>| (site.name().to_owned(), Arc::new(Semaphore::new(PER_SITE)));
        Ok(Self(Arc::new(Shared {
            gates: sites.map(gate).collect(),
            fleet: options.fleet,
            limits: options.limits,
            auth: options.auth,
            about: options.about,
            threads: Threads::start(THREADS)?,
            archives: Arc::new(Semaphore::new(ARCHIVES)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            shelves: Mutex::default(),
            stopping: watch::Sender::new(false),
        })))
    }

    /// The repositories, and what goes on with them.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.0.fleet
    }

    /// Which folders may be named.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Who may come in.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// How the daemon works.
    pub fn about(&self) -> &About {
        &self.0.about
    }

    /// Ends event streams and downloads, so that the server can stop.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Is true once [`ApiState::stop`] was called.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Runs what waits for storage or the database.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let state = self.clone();
        let done = self.0.threads.run(move || work(&state)).await;
        done.unwrap_or_else(|| Err(Problem::internal("the request was broken off")))
    }

    /// Runs something that is about one repository, which is opened if it is not open yet.
    ///
    /// # Errors
    /// Those of `work`; a problem if there is no such repository, or if it cannot be opened.
    pub(super) async fn ask_site<T: Send + 'static>(
        &self,
        name: String,
        work: impl FnOnce(&Arc<Shelf>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = match self.0.gates.get(&name) {
            Some(gate) => Some(turn(gate, "requests about this repository").await?),
            None => None,
        };
        self.ask(move |state| work(&state.shelf(&name)?)).await
    }

    /// The repository of this name. Waits for storage if it is not open yet.
    ///
    /// # Errors
    /// As [`ApiState::ask_site`].
    pub(super) fn shelf(&self, name: &str) -> Result<Arc<Shelf>, Problem> {
        let site = self.0.fleet.site(name)?;
        let open = site.open().map_err(|error| Problem::away(&error))?;
        let mut shelves = self.0.shelves.lock();
        if let Some(shelf) = shelves.get(name)
            && Arc::ptr_eq(&shelf.open, &open)
        {
            return Ok(Arc::clone(shelf));
        }
        let bus = self.0.fleet.board().bus().clone();
        let shelf = Arc::new(Shelf {
            name: name.to_owned(),
            open,
            bus,
            view: Mutex::default(),
            seen_id: AtomicU64::new(0),
        });
        shelves.insert(name.to_owned(), Arc::clone(&shelf));
        Ok(shelf)
    }

    /// Leave to make an archive.
    ///
    /// # Errors
    /// A problem if too many others are made.
    pub(super) async fn archive_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        turn(&self.0.archives, "archives").await
    }

    /// Leave to listen to events.
    ///
    /// # Errors
    /// A problem if too many others listen.
    pub(super) fn stream_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.0.streams).try_acquire_owned();
        permit.map_err(|_| Problem::busy("too many others listen to events"))
    }
}

async fn turn(gate: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = tokio::time::timeout(PATIENCE, Arc::clone(gate).acquire_owned()).await;
    permit.ok().and_then(Result::ok).ok_or_else(|| Problem::busy(format!("too many {what}")))
}

impl Shelf {
    /// What the fleet calls it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The repository, for all that changes something.
    pub(super) fn open(&self) -> &Arc<OpenSite> {
        &self.open
    }

    /// A manager for showing: its lists are a little old, unless something happened here.
    pub(super) fn manager(&self) -> BackupManager {
        let (seen_id, newest_id) = (self.seen_id.load(Ordering::Acquire), self.bus.newest_id());
        let is_changed = match self.bus.since(seen_id) {
            Err(_) => true,
            Ok(events) => events.iter().any(|event| {
                event.repository.as_deref() == Some(&self.name)
                    && matches!(
                        event.happening,
                        Happening::JobEnded { .. } | Happening::SnapshotsChanged { .. }
                    )
            }),
        };
        if !is_changed {
            return self.open.manager.showing(SHOWN_AGE);
        }
        if self.open.manager.showing(Duration::ZERO).snapshot_list().is_ok() {
            self.seen_id.store(newest_id, Ordering::Release);
        }
        self.open.manager.showing(SHOWN_AGE)
    }

    /// For recovery points, for showing.
    pub(super) fn recovery(&self) -> RecoveryManager {
        RecoveryManager::new(self.manager())
    }

    /// Tells everybody that there are other snapshots now.
    pub(super) fn snapshots_changed(&self) {
        self.bus.tell(Some(&self.name), Happening::SnapshotsChanged { backup_id: None });
    }

    /// The files of all snapshots.
    ///
    /// # Errors
    /// The storage's.
    pub(super) fn view(&self) -> EngineResult<Arc<View>> {
        let mut view = self.view.lock();
        if let Some(view) = &*view {
            return Ok(Arc::clone(view));
        }
        self.manager().load_index()?;
        let options = ViewOptions {
            cache_bytes: PAGES,
            read_ahead_bytes: READ_AHEAD,
            refresh: Duration::from_secs(1),
            ..ViewOptions::default()
        };
        let made = Arc::new(View::new(self.open.manager.shared_repository(), options)?);
        *view = Some(Arc::clone(&made));
        Ok(made)
    }
}
