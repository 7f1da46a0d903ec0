//! The repositories of a daemon, out of options and profiles. Nobody is ever asked for a password.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use super::args::GlobalArgs;
use super::commands::backup_options;
use super::context::{Context, key_file_of, location_of, open_options_of, peek};
use super::output::Output;
use super::profile::{BackupFields, Profile};
use super::secrets::SecretSource;
use super::wire::Wire;
use crate::archive::BackupOptions;
use crate::error::{Error, Result};
use crate::manager::board::Board;
use crate::manager::fleet::{OpenSite, Site};
use crate::manager::{BackupManager, ManagerOptions};
use crate::repository::{Repository, Unlock};
use crate::runtime::{CancelToken, Runtime};
use crate::storage::Storage;

/// What a repository is called that no profile names.
const UNNAMED: &str = "default";

/// The repository of options and profile, and those of `further` profiles. `cut` ends what waits
/// for their storage.
///
/// # Errors
/// [`Error::Usage`] for profiles that make no sense, [`Error::Local`] if one cannot be read.
pub(super) fn sites(
    context: &Context,
    further: &[String],
    board: &Board,
    cut: &CancelToken,
) -> Result<Vec<Site>> {
    let name = context.profile.files().first().and_then(|path| name_of(path));
    let first = name.unwrap_or_else(|| UNNAMED.to_owned());
    let maker = Maker { out: &context.out, board, cut };
    let mut sites = vec![maker.site(&first, context.global.clone(), &context.profile)?];
    for name in further {
        check_environment()?;
        let profile = Profile::named(OsStr::new(name))?;
        let mut global =
            GlobalArgs { profile: Some(OsString::from(name)), ..GlobalArgs::default() };
        profile.fill(&mut global)?;
        let name = profile.files().first().and_then(|path| name_of(path));
        sites.push(maker.site(&name.unwrap_or_default(), global, &profile)?);
    }
    Ok(sites)
}

fn name_of(profile: &Path) -> Option<String> {
    Some(profile.file_stem()?.to_string_lossy().into_owned())
}

/// A variable wins over profiles: all repositories would be the same.
fn check_environment() -> Result<()> {
    let is_set = |name: &&&str| std::env::var_os(**name).is_some_and(|value| !value.is_empty());
    match ["LARDER_REPOSITORY", "LARDER_REPOSITORY_FILE"].iter().find(is_set) {
        None => Ok(()),
        Some(name) => Err(Error::usage_hint(
            format!("`{name}` is set, and wins over the repositories of all profiles"),
            "say in each profile where its repository is, and unset the variable",
        )),
    }
}

struct Maker<'a> {
    out: &'a Arc<Output>,
    board: &'a Board,
    cut: &'a CancelToken,
}

impl Maker<'_> {
    fn site(&self, name: &str, global: GlobalArgs, profile: &Profile) -> Result<Site> {
        let location = location_of(&global.repository)?;
        let (wire, throttle, requests) =
            Wire::of_site(&global, profile.access()?, self.out, self.cut.clone())?;
        let mut options = open_options_of(&global.repository, &wire);
        options.mirror_policy = global.mirrors.policy()?;
        let source = SecretSource::choose(&global.secret);
        let backup = backup_of(profile.backup())?;
        let origin = profile.files().first().map(|path| path.display().to_string());
        let schedules = profile.schedules().to_vec();
        let (watch, called) = (profile.watch(), name.to_owned());
        let (shown, out) = (location.to_string(), Arc::clone(self.out));
        let opener = move || {
            let runtime = Runtime::default();
            let name_mirrors =
                |error| Repository::name_mirrors(error, &options, &location.to_string());
            let storage = wire.open(&location).map_err(name_mirrors)?;
            if let Some(warning) = storage.warning() {
                tracing::warn!("{location}: {warning}");
            }
            let unlock = unlock(&*storage, &source, &out)?;
            let repository = Repository::open(storage, &unlock, &options, &runtime)?;
            let manager = ManagerOptions {
                backup: backup.clone(),
                state_dir: options.state_dir.clone(),
                places: options.places.clone(),
                name: called.clone(),
                watch: watch.clone(),
                runtime,
                ..ManagerOptions::default()
            };
            let manager = BackupManager::open(repository, manager)?;
            if let Some(origin) = &origin {
                let changes = manager.sync_profile_schedules(origin, &schedules)?;
                tracing::debug!(?changes, "schedules of {origin}");
            }
            let (throttle, requests) = (throttle.clone(), Arc::clone(&requests));
            Ok(OpenSite { manager, throttle, requests })
        };
        Ok(Site::new(name, &shown, Box::new(opener), self.board))
    }
}

/// What backups take if a schedule says nothing else. A profile need not name sources.
fn backup_of(profile: &BackupFields) -> Result<BackupOptions> {
    if !profile.sources.is_empty() {
        return backup_options(profile);
    }
    let somewhere = BackupFields { sources: vec!["/".into()], ..profile.clone() };
    Ok(BackupOptions { sources: Vec::new(), ..backup_options(&somewhere)? })
}

/// What opens the repository: what options, environment or profile say, or else the key file that
/// `quickstart` made for it.
fn unlock(storage: &dyn Storage, source: &SecretSource, out: &Output) -> Result<Unlock> {
    let location = storage.location();
    if *source != SecretSource::Prompt {
        return source.unlock(location, out);
    }
    let repo = peek(storage)?;
    if repo.suite == 0 {
        return Ok(Unlock::Nothing);
    }
    match key_file_of(repo.repo_id).ok().filter(|path| path.is_file()) {
        Some(key_file) => SecretSource::KeyFile(key_file).unlock(location, out),
        None => Err(Error::KeyNeeded { location: location.to_owned() }),
    }
}
