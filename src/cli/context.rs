//! What a command gets besides its own arguments: the repository, and where messages go.

use std::path::PathBuf;
use std::sync::Arc;

use etcetera::BaseStrategy;
use parking_lot::Mutex;

use super::args::{GlobalArgs, RepositoryArgs};
use super::output::Output;
use super::output::progress::Display;
use super::profile::Profile;
use super::secrets::SecretSource;
use super::wire::Wire;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::repo::RepoRecord;
use crate::manager::{BackupManager, ManagerOptions};
use crate::model::RepoId;
use crate::repository::{OpenOptions, Repository, Unlock};
use crate::runtime::{CancelToken, Runtime};
use crate::storage::{Location, MirrorStorage, Storage};

/// How often a password is asked for.
const TRIES: usize = 3;

/// No `repo` object is longer.
const REPO_LEN_MAX: u64 = 64 << 10;

/// The surroundings of a command.
pub(crate) struct Context {
    /// The global options.
    pub(crate) global: GlobalArgs,
    /// Where results and messages go.
    pub(crate) out: Arc<Output>,
    /// Set by signals.
    pub(crate) cancel: CancelToken,
    /// How storage is reached: never past it.
    pub(crate) wire: Wire,
    /// What stands in for options that are not given; `global` has its part already.
    pub(crate) profile: Profile,
    /// Those of the repositories that were opened.
    pub(super) mirrors: Mutex<Vec<Arc<MirrorStorage>>>,
}

impl Context {
    /// The mirrors of the repositories that were opened.
    pub(super) fn mirrors(&self) -> Vec<Arc<MirrorStorage>> {
        self.mirrors.lock().clone()
    }

    /// The surroundings of a library call that shows no progress.
    pub(crate) fn quiet_runtime(&self) -> Runtime {
        Runtime { cancel: self.cancel.clone(), ..Runtime::default() }
    }

    /// The surroundings of a library call that is shown on `display`.
    pub(crate) fn runtime(&self, display: &Display) -> Runtime {
        Runtime { cancel: self.cancel.clone(), progress: display.progress(), ..Runtime::default() }
    }

    /// The location that was given, or the default one.
    pub(crate) fn location(&self) -> Result<Location> {
        location_of(&self.global.repository)
    }

    /// Opens the repository with what options and environment say; else with the key file that
    /// `quickstart` made for it, else with what is typed.
    ///
    /// # Errors
    /// Those of [`Repository::open`] and [`SecretSource::unlock`].
    pub(crate) fn open(&self) -> Result<Repository> {
        self.open_at(&self.location()?, &SecretSource::choose(&self.global.secret))
    }

    /// Opens the repository at `location` with what `source` gives; as [`Context::open`] if that
    /// is the terminal.
    ///
    /// # Errors
    /// As [`Context::open`].
    pub(crate) fn open_at(&self, location: &Location, source: &SecretSource) -> Result<Repository> {
        self.open_with(location, source, self.open_options())
    }

    /// As [`Context::open`], without its mirrors: its storage is its own place (or both of them, if
    /// its data is at another one).
    ///
    /// # Errors
    /// As [`Context::open`].
    pub(crate) fn open_alone(&self) -> Result<Repository> {
        let options = OpenOptions { without_mirrors: true, ..self.open_options() };
        self.open_with(&self.location()?, &SecretSource::choose(&self.global.secret), options)
    }

    /// As [`Context::open_alone`], with its packs of data at another place than it says.
    ///
    /// # Errors
    /// As [`Context::open`].
    pub(crate) fn open_alone_with_data(&self, data: &Location) -> Result<Repository> {
        let data_location = Some(data.to_string());
        let options = OpenOptions { without_mirrors: true, data_location, ..self.open_options() };
        self.open_with(&self.location()?, &SecretSource::choose(&self.global.secret), options)
    }

    fn open_with(
        &self,
        location: &Location,
        source: &SecretSource,
        mut options: OpenOptions,
    ) -> Result<Repository> {
        let shown = location.to_string();
        let name_mirrors = |error| Repository::name_mirrors(error, &self.open_options(), &shown);
        let storage = self.wire.open(location).map_err(name_mirrors)?;
        if let Some(warning) = storage.warning() {
            self.out.warn(&format!("{shown}: {warning}"));
        }
        options.mirror_policy = self.global.mirrors.policy()?;
        let runtime = self.quiet_runtime();
        let open = |unlock: &Unlock| {
            let opened = Repository::open(Arc::clone(&storage), unlock, &options, &runtime);
            opened.inspect(|repository| self.mirrors.lock().extend(repository.shared_mirrors()))
        };
        if *source != SecretSource::Prompt {
            return open(&source.unlock(&shown, &self.out)?);
        }
        let repo = peek(&*storage).map_err(name_mirrors)?;
        if repo.suite == 0 {
            return open(&Unlock::Nothing);
        }
        if let Some(key_file) = key_file_of(repo.repo_id).ok().filter(|path| path.is_file()) {
            let unlock = SecretSource::KeyFile(key_file).unlock(&shown, &self.out)?;
            match open(&unlock) {
                Err(Error::WrongKey { .. }) => {}
                result => return result,
            }
        }
        let mut tries = 1;
        loop {
            match open(&source.unlock(&shown, &self.out)?) {
                Err(error @ Error::WrongKey { .. }) if tries < TRIES => {
                    self.out.warn(&error.to_string());
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// Opens the repository and loads its index, for commands that read what is in snapshots.
    ///
    /// # Errors
    /// As [`Context::open`], and the storage's.
    pub(crate) fn open_indexed(&self) -> Result<Repository> {
        let repository = self.open()?;
        for error in repository.load_index()? {
            self.out.warn(&format!("a part of the index cannot be used: {error}"));
        }
        Ok(repository)
    }

    /// A manager of an open repository, with the history of this machine.
    ///
    /// # Errors
    /// As [`BackupManager::open`].
    pub(crate) fn manager(&self, repository: Repository) -> Result<BackupManager> {
        let options = ManagerOptions {
            state_dir: self.open_options().state_dir,
            places: self.wire.connector(),
            name: repository.location().to_owned(),
            watch: self.profile.watch(),
            runtime: self.quiet_runtime(),
            ..ManagerOptions::default()
        };
        BackupManager::open(repository, options)
    }

    /// Says what is wrong with the history of this machine, if anything is.
    pub(crate) fn warn_of_history(&self, manager: &BackupManager) {
        for warning in manager.database().take_warnings() {
            self.out.warn(&warning);
        }
    }

    /// Where this machine keeps its part of a repository.
    pub(crate) fn open_options(&self) -> OpenOptions {
        open_options_of(&self.global.repository, &self.wire)
    }
}

/// The location that was given, or the default one.
///
/// # Errors
/// [`Error::Usage`] for what is no location, and if the user has no home folder.
pub(crate) fn location_of(repository: &RepositoryArgs) -> Result<Location> {
    match repository.given()? {
        Some(location) => Ok(location),
        None => Location::from_path(&folders()?.data_dir().join("larder/repository")),
    }
}

/// Where this machine keeps its part of a repository.
pub(crate) fn open_options_of(repository: &RepositoryArgs, wire: &Wire) -> OpenOptions {
    let given = repository.cache_dir.clone().or_else(|| {
        std::env::var_os("LARDER_CACHE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from)
    });
    // Without a home folder (some services have none) both are done without.
    let folders = folders().ok();
    let cache_dir = given.or_else(|| Some(folders.as_ref()?.cache_dir().join("larder")));
    let state_dir = folders.as_ref().and_then(BaseStrategy::state_dir);
    OpenOptions {
        cache_dir: cache_dir.filter(|_| !repository.no_cache),
        state_dir: state_dir.map(|dir| dir.join("larder")),
        places: wire.connector(),
        ..OpenOptions::default()
    }
}

/// Reads which repository is there, without opening it.
///
/// # Errors
/// [`Error::RepositoryMissing`], [`Error::UnsupportedFormat`], [`Error::Damaged`], and the
/// storage's.
pub(crate) fn peek(storage: &dyn Storage) -> Result<RepoRecord> {
    let bytes = storage.get("repo", REPO_LEN_MAX).map_err(|error| match error.kind {
        StorageErrorKind::Missing => {
            Error::RepositoryMissing { location: storage.location().to_owned() }
        }
        _ => error.into(),
    })?;
    RepoRecord::decode(&bytes, storage.location())
}

/// Where the key file of a repository is that `quickstart` made.
///
/// # Errors
/// [`Error::Usage`] if the user has no home folder.
pub(crate) fn key_file_of(repository: RepoId) -> Result<PathBuf> {
    Ok(folders()?.config_dir().join(format!("larder/keys/{repository}.key")))
}

/// The folders of this user.
///
/// # Errors
/// [`Error::Usage`] if the user has no home folder.
pub(crate) fn folders() -> Result<impl BaseStrategy> {
    etcetera::choose_base_strategy().map_err(|_| {
        Error::usage_hint(
            "this user has no home folder, so there is no default repository",
            "say where the repository is with `--repo`",
        )
    })
}
