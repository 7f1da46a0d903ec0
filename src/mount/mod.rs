//! Snapshots as a file system: a FUSE session on top of a [`View`].
//!
//! The kernel asks, `filesystem` answers from the view, and everything that never changes (which
//! is everything in a snapshot) the kernel may remember for as long as it likes. What is special
//! here is what happens when things go wrong: folders that cannot be mounted on (`place`), dead
//! mounts, mounts in use (`unmount`), storage that does not answer (`waiting`).
//!
//! Not here: what is in the tree and how files are read (`view`), options and messages (`cli`).

mod errors;
mod files;
mod filesystem;
mod folders;
mod kernel;
mod place;
mod tuning;
mod unmount;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use fuser::{BackgroundSession, Config, MountOption, SessionACL};

use crate::error::{Error, Result};
use crate::runtime::CancelToken;
use crate::view::View;
use filesystem::Filesystem;
use place::Place;
use tuning::Tuning;
pub use unmount::Unmounted;

/// What the source of a mount begins with in the system's lists. The kind of file system is
/// `fuse.larder` there, or only `fuse`, by the way that mounts it.
const SOURCE: &str = "larder:";
const SUBTYPE: &str = "larder";
/// How often somebody who waits for the end of a mount looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long an unmounted session may take to end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How a mount differs from the safest one: read by whoever mounts it alone, no devices, no set-id
/// programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Other users may look into it, as far as owners, permissions and access control lists of the
    /// files allow. Without it whoever mounts may read everything, and nobody else anything.
    pub allow_other: bool,
    /// Permissions count for whoever mounts, too. Always so with `allow_other`.
    pub default_permissions: bool,
    /// Device nodes work. Only root may ask for that.
    pub devices: bool,
    /// Set-user-id and set-group-id bits work. Only root may ask for that.
    pub set_ids: bool,
    /// Programs cannot be started.
    pub no_programs: bool,
    /// What the system's lists of mounts show as its source, after `larder:`.
    pub source: String,
    /// Folders that a mount must not be in: those of the repository.
    pub taken: Vec<PathBuf>,
}

/// A mounted view. Unmounted when it is dropped.
pub struct Mounted {
    session: Option<BackgroundSession>,
    folder: PathBuf,
    was_dead: bool,
    ended: Receiver<()>,
}

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody unmounted it.
    Outside,
    /// It was asked to end.
    Asked(Unmounted),
}

/// Shows `view` in `folder`, which must be there and empty. A mount there whose program was killed
/// is cleared away.
///
/// # Errors
/// [`Error::Usage`] if nothing can be mounted there, or this user may not; [`Error::Local`] with
/// what the system says.
pub fn mount(view: Arc<View>, folder: &Path, options: &MountOptions) -> Result<Mounted> {
    errors::check(options)?;
    let Place { folder, was_dead } = Place::prepare(folder, &options.taken)?;
    let keeps_permissions = options.allow_other || options.default_permissions;
    let tuning = Tuning::for_storage(view.repository().storage().concurrency());
    let (ends, ended) = crossbeam_channel::bounded(1);
    let filesystem = Filesystem::new(view, tuning, keeps_permissions, ends);
    let session = fuser::spawn_mount(filesystem, &folder, &config(options, tuning))
        .map_err(|error| errors::explain(error, &folder))?;
    tuning::read_farther_ahead(&folder);
    Ok(Mounted { session: Some(session), folder, was_dead, ended })
}

fn config(options: &MountOptions, tuning: Tuning) -> Config {
    let choose = |is_on: bool, on, off| if is_on { on } else { off };
    let mut mount_options = vec![
        MountOption::RO,
        MountOption::FSName(format!("{SOURCE}{}", options.source.replace([',', '\\', '\0'], "_"))),
        MountOption::Subtype(SUBTYPE.into()),
        choose(options.devices, MountOption::Dev, MountOption::NoDev),
        choose(options.set_ids, MountOption::Suid, MountOption::NoSuid),
        choose(options.no_programs, MountOption::NoExec, MountOption::Exec),
        MountOption::NoAtime,
    ];
    if options.allow_other || options.default_permissions {
        mount_options.push(MountOption::DefaultPermissions);
    }
    // The system's helper watches over the program then, and unmounts when it dies. It can do so
    // only where others may look into the mount.
    if options.allow_other && unmount::has_helper() {
        mount_options.push(MountOption::AutoUnmount);
    }
    let mut config = Config::default();
    config.mount_options = mount_options;
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(tuning.threads);
    config.clone_fd = tuning.threads > 1;
    config
}

impl Mounted {
    /// The folder, without links in its path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a dead mount had to be cleared away.
    pub fn was_dead(&self) -> bool {
        self.was_dead
    }

    /// Waits until somebody unmounts it or `cancel` is cancelled, and unmounts it then.
    ///
    /// # Errors
    /// [`Error::Local`] if the session failed, or it cannot be unmounted.
    pub fn wait(mut self, cancel: &CancelToken) -> Result<Ending> {
        loop {
            match self.ended.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) if !cancel.is_cancelled() => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                    let Some(session) = self.session.take() else { break };
                    let failed = |error| Error::local("serve", &self.folder, error);
                    return session.join().map(|()| Ending::Outside).map_err(failed);
                }
            }
        }
        self.unmount().map(Ending::Asked)
    }

    /// Unmounts it, also if it is in use.
    ///
    /// # Errors
    /// [`Error::Local`] with what the system says.
    pub fn unmount(mut self) -> Result<Unmounted> {
        self.end()
    }

    fn end(&mut self) -> Result<Unmounted> {
        let Some(session) = self.session.take() else { return Ok(Unmounted::Cleanly) };
        let how = unmount::unmount(&self.folder);
        // It may have been unmounted by somebody else in this moment.
        let has_ended = self.ended.recv_timeout(match how {
            Ok(Unmounted::Cleanly) => LAST_ANSWERS,
            _ => Duration::ZERO,
        });
        if has_ended == Err(RecvTimeoutError::Disconnected) {
            let _ = session.join();
            return Ok(Unmounted::Cleanly);
        }
        // Threads may still wait for storage, and whoever has files open may still ask: the end of
        // the program ends both. Dropping it would unmount whatever is there by now.
        std::mem::forget(session);
        how.map_err(|error| Error::local("unmount", &self.folder, error))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("{}", error.in_full());
        }
    }
}
