//! The repositories that a daemon looks after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::BackupManager;
use super::board::{Board, Happening};
use super::recovery::RecoveryManager;
use crate::error::{Error, Result};
use crate::storage::RequestCounter;
use crate::storage::throttle::ThrottleHandle;

/// A repository that could not be opened is not tried again for so long, unless somebody insists.
const TRY_AGAIN: Duration = Duration::from_secs(15);

/// Opens a repository with its keys, without asking anybody. Called again after a failure.
pub type Opener = Box<dyn Fn() -> Result<OpenSite> + Send + Sync>;

/// An open repository.
pub struct OpenSite {
    /// Its manager, with the database that all share.
    pub manager: BackupManager,
    /// Its bandwidth, which can be changed while it works.
    pub throttle: ThrottleHandle,
    /// What was asked of its storage.
    pub requests: Arc<RequestCounter>,
}

impl OpenSite {
    /// For bringing files back from it.
    pub fn recovery(&self) -> RecoveryManager {
        RecoveryManager::new(self.manager.clone())
    }
}

/// A repository by the name that people gave it, open or not: its storage may be away.
pub struct Site {
    name: String,
    location: String,
    opener: Opener,
    board: Board,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Arc<OpenSite>>,
    /// Why it could not be opened, and when that was.
    failed: Option<(Instant, String)>,
}

/// All repositories of a daemon, and what goes on with them.
pub struct Fleet {
    sites: Vec<Arc<Site>>,
    board: Board,
}

impl Site {
    /// A repository that `opener` opens when it is first needed. `location` is shown to people and
    /// holds no secret.
    pub fn new(name: &str, location: &str, opener: Opener, board: &Board) -> Self {
        Self {
            name: name.to_owned(),
            location: location.to_owned(),
            opener,
            board: board.clone(),
            state: Mutex::default(),
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The open repository; opens it if it is not open yet. One that could not be opened just now
    /// is not tried again at once.
    ///
    /// # Errors
    /// Those of opening it; [`Error::Busy`] with the reason of before if it was tried just now.
    pub fn open(&self) -> Result<Arc<OpenSite>> {
        self.open_if(|since| since >= TRY_AGAIN)
    }

    /// As [`Site::open`], but tries in any case.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn open_now(&self) -> Result<Arc<OpenSite>> {
        self.open_if(|_| true)
    }

    fn open_if(&self, is_due: impl Fn(Duration) -> bool) -> Result<Arc<OpenSite>> {
        // Held while it opens: whoever comes meanwhile waits for the same.
        let mut state = self.state.lock();
        if let Some(open) = &state.open {
            return Ok(Arc::clone(open));
        }
        if let Some((when, why)) = &state.failed
            && !is_due(when.elapsed())
        {
            let what = format!("repository `{}` cannot be opened: {why}", self.name);
            return Err(Error::Busy { what });
        }
        match (self.opener)() {
            Ok(open) => {
                let open = Arc::new(open);
                state.open = Some(Arc::clone(&open));
                if state.failed.take().is_some() {
                    self.board.bus().tell(Some(&self.name), Happening::RepositoryBack);
                }
                Ok(open)
            }
            Err(error) => {
                let why = error.in_full();
                if state.failed.replace((Instant::now(), why.clone())).is_none() {
                    let away = Happening::RepositoryAway { error: why };
                    self.board.bus().tell(Some(&self.name), away);
                }
                Err(error)
            }
        }
    }

    /// The open repository, if it is open. Never waits for storage, but for somebody who opens it.
    pub fn opened(&self) -> Option<Arc<OpenSite>> {
        self.state.lock().open.clone()
    }

    /// Why it could not be opened when that was tried last.
    pub fn why_not(&self) -> Option<String> {
        self.state.lock().failed.as_ref().map(|(_, why)| why.clone())
    }
}

impl Fleet {
    /// Of these repositories.
    ///
    /// # Errors
    /// [`Error::Usage`] if two of them have the same name.
    pub fn new(sites: Vec<Site>, board: Board) -> Result<Self> {
        for (at, site) in sites.iter().enumerate() {
            if sites[..at].iter().any(|other| other.name == site.name) {
                let what = format!("two repositories are called `{}`", site.name);
                return Err(Error::usage_hint(what, "give one of them another name"));
            }
        }
        Ok(Self { sites: sites.into_iter().map(Arc::new).collect(), board })
    }

    /// The repositories, in their order.
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    /// The repository of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn site(&self, name: &str) -> Result<&Arc<Site>> {
        let missing = || Error::NotFound { what: "repository", name: name.to_owned() };
        self.sites.iter().find(|site| site.name == name).ok_or_else(missing)
    }

    /// Jobs and events.
    pub fn board(&self) -> &Board {
        &self.board
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::manager::ManagerOptions;
    use crate::manager::board::EventBus;
    use crate::manager::history::Database;
    use crate::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
    use crate::runtime::Runtime;
    use crate::storage::{self, Location};

    fn open_in_memory() -> Result<OpenSite> {
        let storage = storage::create(&Location::parse("memory:")?, LAYOUT)?;
        let init = InitOptions { suite: crate::crypto::Suite::None, ..InitOptions::default() };
        let (open, runtime) = (OpenOptions::default(), Runtime::default());
        let repository = Repository::init(storage, &[Unlock::Nothing], &init, &open, &runtime)?;
        Ok(OpenSite {
            manager: BackupManager::open(repository, ManagerOptions::default())?,
            throttle: ThrottleHandle::new(crate::storage::throttle::Limits::default()),
            requests: Arc::default(),
        })
    }

    #[test]
    fn a_repository_that_is_away_is_tried_again() {
        let runtime = Runtime::default();
        let bus = EventBus::new(Arc::clone(&runtime.clock));
        let database = Arc::new(Database::new(None, Arc::clone(&runtime.clock)));
        let board = Board::new(database, bus.clone(), runtime);
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let opener = move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::RepositoryMissing { location: "there".into() }),
            _ => open_in_memory(),
        };
        let begin = bus.newest_id();
        let site = Site::new("home", "there", Box::new(opener), &board);
        assert!(site.open().is_err() && site.opened().is_none());
        assert!(site.why_not().is_some_and(|why| why.contains("there")));
        assert!(matches!(site.open(), Err(Error::Busy { .. })), "not at once");
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        site.open_now().expect("it is back");
        site.open().expect("stays open");
        assert_eq!((tries.load(Ordering::Relaxed), site.why_not()), (2, None));
        let told: Vec<_> =
            bus.since(begin).expect("are kept").iter().map(|e| e.happening.name()).collect();
        assert_eq!(told, ["repository_away", "repository_back"]);
        let twice = ["a", "a"].map(|name| Site::new(name, "", Box::new(open_in_memory), &board));
        assert!(Fleet::new(twice.into(), board).is_err());
    }
}
