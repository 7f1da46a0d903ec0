//! What can go wrong, what to try next, and the exit code for it.
//!
//! Source errors (a file that cannot be read), sink errors (storage) and damage (bytes that fail
//! verification) are different types: taking one for another is how other tools lost data.

mod storage;

use std::path::PathBuf;

pub use storage::{CannotChange, Explained, StorageError, StorageErrorKind};

/// The result of every fallible operation of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that ends an operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no `repo` object at the location.
    #[error("no repository at `{location}`")]
    RepositoryMissing {
        /// The location as the user gave it, without secrets.
        location: String,
    },
    /// A mirror that the repository names is not where it should be.
    #[error("nothing is at `{location}`{}", is_it_mounted(location))]
    MirrorAway {
        /// The name of the mirror.
        name: String,
        /// Its location, without secrets.
        location: String,
    },
    /// `init` found something that is already there.
    #[error("there is already a repository at `{location}`")]
    RepositoryExists {
        /// The location as the user gave it, without secrets.
        location: String,
    },
    /// `init` found foreign files.
    #[error("`{location}` is not empty and holds no repository")]
    LocationNotEmpty {
        /// The location as the user gave it, without secrets.
        location: String,
    },
    /// No key slot opens with what was given.
    #[error("the {what} opens none of the {tried} keys in `{location}`")]
    WrongKey {
        /// What was tried: `password`, `key file` or `recovery code`.
        what: &'static str,
        /// The location as the user gave it, without secrets.
        location: String,
        /// How many key slots were tried.
        tried: usize,
    },
    /// The repository needs a password, key file or recovery code and none was given.
    #[error("`{location}` is encrypted, and no password or key file was given")]
    KeyNeeded {
        /// The location as the user gave it, without secrets.
        location: String,
    },
    /// The key that opened the repository was left out when its keys were changed.
    #[error("the keys of `{location}` were changed, and the key in use was left out")]
    KeyRemoved {
        /// The location as the user gave it, without secrets.
        location: String,
    },
    /// A change of the keys was not finished, or two were finished that did not know of each other.
    #[error("the keys of `{location}` are not settled: {what}")]
    KeysUnsettled {
        /// The location as the user gave it, without secrets.
        location: String,
        /// What happened.
        what: String,
    },
    /// The repository was written by a newer version, or by another draft of format 1.
    #[error("`{location}` has format {found}, this program reads {supported}")]
    UnsupportedFormat {
        /// The location as the user gave it, without secrets.
        location: String,
        /// The format found there, in words.
        found: String,
        /// The formats this program reads, in words.
        supported: String,
    },
    /// The repository is not the one, or not as protected, as it was before.
    #[error("`{location}` is not what it was: {what}")]
    Downgraded {
        /// The location as the user gave it, without secrets.
        location: String,
        /// What changed.
        what: String,
    },
    /// The log of the repository lacks records, or contradicts itself or what this machine saw.
    #[error("the history of the repository is not to be trusted: {what}{}", more(*.others))]
    History {
        /// The first thing that is wrong.
        what: String,
        /// How many others there are.
        others: usize,
        /// A mirror that has some of what is missing.
        mirror: Option<String>,
    },
    /// Stored bytes fail verification: damaged, truncated, forged, or of another repository.
    #[error("`{object}` is damaged: {what}")]
    Damaged {
        /// The object's name in storage, or the id of the chunk or page.
        object: String,
        /// What did not match.
        what: String,
    },
    /// The repository lacks something that it should hold.
    #[error("{what} `{name}` is missing from the repository")]
    NotFound {
        /// The kind of thing: `snapshot`, `chunk`, `pack`, `path`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A snapshot has no such path.
    #[error("path `{path}` is not in snapshot `{snapshot}`")]
    PathMissing {
        /// The short id of the snapshot.
        snapshot: String,
        /// The path, for people.
        path: String,
    },
    /// A name that fits more than one thing.
    #[error("`{name}` fits {count} {what}s")]
    Ambiguous {
        /// The kind of thing.
        what: &'static str,
        /// The name as given.
        name: String,
        /// How many it fits.
        count: usize,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A repository is not to be reached, and this machine knows mirrors of it.
    #[error("the repository cannot be opened")]
    MirrorsLeft {
        /// What became of the repository.
        source: Box<Error>,
        /// Locations of its mirrors.
        mirrors: Vec<String>,
    },
    /// A file or folder of the local system could not be used (source, target, cache, key file).
    #[error("could not {action} `{}`", path.display())]
    Local {
        /// What was tried: `read`, `create`, ...
        action: &'static str,
        /// Which path.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// An argument, option or configuration that makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to try.
        hint: Option<String>,
    },
    /// None of the sources exists.
    #[error("none of the sources exists: {}", list(.paths))]
    SourcesMissing {
        /// The sources as given.
        paths: Vec<PathBuf>,
    },
    /// Somebody else holds what this operation needs for itself.
    #[error("{what}")]
    Busy {
        /// What is busy, and who holds it.
        what: String,
    },
    /// A prune went on without a session that was silent for long, and what it relied on is gone.
    #[error("{what}")]
    Overtaken {
        /// What is gone.
        what: String,
    },
    /// Something that decides what may be removed is in doubt, so nothing is.
    #[error("nothing was removed: {what}")]
    Refused {
        /// What is in doubt.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Data that is needed cannot be read at once: it is in cold storage, or at a place that is
    /// away. Nothing was begun.
    #[error("{what}")]
    OutOfReach {
        /// What cannot be read.
        what: String,
        /// What to try.
        hint: String,
    },
    /// A restore that would not be whole, or has an unfinished one in its way: it ended before
    /// anything was changed.
    #[error("nothing was changed: {what}")]
    Untouched {
        /// What is in its way.
        what: String,
        /// What to try.
        hint: String,
    },
    /// An in-place restore failed, and what it had done was undone.
    #[error("the restore was rolled back, and everything is as it was before")]
    RolledBack {
        /// Why it failed.
        source: Box<Error>,
    },
    /// Something that an in-place restore had done could not be undone yet.
    #[error("{what}; `larder rollback {}` tries again", folder.display())]
    RollbackFailed {
        /// What could not be undone, and why.
        what: String,
        /// The tree that it is about.
        folder: PathBuf,
        /// Why the restore was to be undone; `None` if somebody asked for it.
        source: Option<Box<Error>>,
    },
    /// The operation was cancelled, by a signal or through the library.
    #[error("interrupted")]
    Cancelled {
        /// The signal's number, if a signal was the reason.
        signal: Option<i32>,
    },
    /// An invariant of the format does not hold for data we made: nothing doubtful is written.
    #[error("internal check failed: {what}")]
    Internal {
        /// Which check.
        what: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|p| format!("`{}`", p.display())).collect();
    names.join(", ")
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more)") }
}

impl Error {
    /// A damaged object, named.
    pub fn damaged(object: impl ToString, what: impl ToString) -> Self {
        Self::Damaged { object: object.to_string(), what: what.to_string() }
    }

    /// A usage error without a hint.
    pub fn usage(message: impl ToString) -> Self {
        Self::Usage { message: message.to_string(), hint: None }
    }

    /// A usage error with a hint.
    pub fn usage_hint(message: impl ToString, hint: impl ToString) -> Self {
        Self::Usage { message: message.to_string(), hint: Some(hint.to_string()) }
    }

    /// A local file or folder that could not be used.
    pub fn local(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::Local { action, path: path.into(), source: source.into() }
    }

    /// Whether this says that one stored object is damaged, gone or unreadable for good (a bad
    /// sector), and not that it could not be fetched just now: others may be read all the same.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::NotFound { .. } => true,
            Self::Storage(error) => match error.kind {
                StorageErrorKind::Missing => true,
                StorageErrorKind::Permanent => error.action == "read",
                _ => false,
            },
            _ => false,
        }
    }

    /// The error and its reasons on one line, where nobody walks
    /// [`source`](std::error::Error::source): in histories, in reports.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut reason = std::error::Error::source(self);
        while let Some(error) = reason {
            let more = error.to_string();
            // Many libraries repeat the text of their reason in their own.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            reason = error.source();
        }
        text
    }

    /// What to try next: one imperative sentence, or `None` where it would be a guess.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::RepositoryMissing { location } => {
                format!(
                    "check the path, or make a repository with `larder -r {} repo init`",
                    crate::model::quoted(location)
                )
            }
            Self::MirrorAway { name, location } => format!(
                "make it reachable again (mount it); if it is lost: `larder mirror sync {name} \
                 --anew` fills the empty place, or `larder mirror remove {name}` and `larder \
                 mirror add {name} {location}`"
            ),
            Self::RepositoryExists { .. } => {
                "use it as it is, or choose an empty folder for a new one".into()
            }
            Self::LocationNotEmpty { .. } => "choose an empty or new folder".into(),
            Self::WrongKey { what: "password", .. } => {
                "check for typing errors, or open it with `--key-file` or the recovery code".into()
            }
            Self::WrongKey { .. } => {
                "check that it belongs to this repository: `larder key list` shows what it takes"
                    .into()
            }
            Self::KeyNeeded { .. } => {
                "give `--password-file`, `--password-command`, `--key-file` or set LARDER_PASSWORD"
                    .into()
            }
            Self::KeyRemoved { .. } => {
                "ask whoever changed them for a new key, or open it with another one".into()
            }
            Self::KeysUnsettled { .. } => "settle them with `larder repo rekey`".into(),
            Self::UnsupportedFormat { .. } => "use the version of larder that wrote it".into(),
            Self::Downgraded { .. } => {
                "somebody may have replaced the repository: compare it with a mirror before use"
                    .into()
            }
            Self::History { mirror: Some(mirror), .. } => format!(
                "`larder heal --from {mirror}` brings back what the mirror has; \
                 `--accept-history` goes on without it, and it stays lost"
            ),
            Self::History { .. } => {
                "compare it with a mirror or a head code; `--accept-history` goes on with what is \
                 there, and whatever is missing stays lost"
                    .into()
            }
            Self::Damaged { .. } => {
                "run `larder check` to see which snapshots and files are hit".into()
            }
            Self::NotFound { what: "snapshot", .. } => "`larder snapshots` lists them".into(),
            Self::NotFound { what: "backup", .. } => "`larder backups` lists them".into(),
            Self::NotFound { what: "key", .. } => "`larder key list` lists them".into(),
            Self::NotFound { what: "schedule", .. } => {
                "`BackupManager::schedules` lists them".into()
            }
            Self::NotFound { what: "key slot", .. } => {
                "no key opens a repository without its key slots: bring the folder `keys/` back \
                 from a copy of the storage, or use another copy of the repository"
                    .into()
            }
            Self::NotFound { what: "path", .. } => "`larder ls SNAPSHOT` lists the paths".into(),
            Self::NotFound { what: "alert", .. } => "`larder alert list --all` lists them".into(),
            Self::NotFound { .. } => "run `larder check` to see what is hit".into(),
            Self::PathMissing { snapshot, .. } => format!("`larder ls {snapshot}` lists its paths"),
            Self::Ambiguous { .. } => "give more characters of the id".into(),
            Self::Storage(error) => return error.hint(),
            Self::MirrorsLeft { mirrors, .. } => {
                let options: Vec<_> = mirrors.iter().map(|at| format!("`-r {at}`")).collect();
                format!("a mirror alone is a full repository: try {}", options.join(" or "))
            }
            Self::Usage { hint, .. } => return hint.clone(),
            Self::SourcesMissing { .. } => "check the paths for typing errors".into(),
            Self::Busy { .. } => "wait for it to end, then try again".into(),
            Self::Overtaken { .. } => {
                "run it again: what is stored already is not stored twice".into()
            }
            Self::Refused { hint, .. }
            | Self::Untouched { hint, .. }
            | Self::OutOfReach { hint, .. } => hint.clone(),
            Self::RolledBack { source } => return source.hint(),
            Self::RollbackFailed { .. } => {
                "do not change the folder by hand: what was in it is kept in its staging folder"
                    .into()
            }
            Self::Cancelled { .. } => return None,
            Self::Local { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "check the permissions, or run as root".into()
                }
                std::io::ErrorKind::StorageFull => "free some space, then run it again".into(),
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    "choose a folder that can be written".into()
                }
                _ => return None,
            },
            Self::Internal { .. } => {
                "please report this; nothing was written that depends on it".into()
            }
        };
        Some(text)
    }

    /// The exit code of the program that ends with this error (README.md, "Exit codes").
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::RepositoryMissing { .. } | Self::MirrorAway { .. } => 10,
            Self::Busy { .. } => 11,
            Self::WrongKey { .. } | Self::KeyNeeded { .. } | Self::KeyRemoved { .. } => 12,
            Self::RolledBack { source } | Self::MirrorsLeft { source, .. } => source.exit_code(),
            Self::Cancelled { signal } => 128 + signal.unwrap_or(2).clamp(1, 64) as u8,
            _ => 1,
        }
    }
}

/// What to ask about an empty folder. Services are not mounted.
fn is_it_mounted(location: &str) -> &'static str {
    if location.contains("://") { "" } else { ": is the disk mounted?" }
}
