//! What can go wrong with storage.

/// Why a storage call failed, in the classes somebody acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// The object or the location does not exist.
    Missing,
    /// A created-once object exists already.
    Exists,
    /// Credentials or permissions do not allow it.
    Denied,
    /// No space, or a quota is used up.
    Full,
    /// The place cannot be used as it is given: no such bucket or host, another region, a
    /// certificate that is not trusted. It says nothing about single objects.
    Unusable,
    /// A retry may help: time-out, connection lost, busy.
    Temporary,
    /// A retry will not help.
    Permanent,
}

/// A failed call to storage: never taken for a source error, never read as "no objects".
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}`{location}`", place(object))]
pub struct StorageError {
    /// What was tried: `read`, `write`, `list`, `delete`, `open`.
    pub action: &'static str,
    /// The object's name (or listed prefix).
    pub object: String,
    /// The location, without secrets.
    pub location: String,
    /// The class of failure.
    pub kind: StorageErrorKind,
    /// What the service or the system said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why storage refuses a write: what is in it is there for good. The source of such an error.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a bundle can only be read")]
pub struct CannotChange;

/// What a service or the network said, in plain words. The source of such an error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Explained {
    /// What is wrong.
    pub text: String,
    /// What to try: one imperative sentence.
    pub hint: Option<String>,
}

/// An object, where it is about one.
fn place(object: &str) -> String {
    match object {
        "" => String::new(),
        object => format!("`{object}` in "),
    }
}

impl StorageError {
    /// Whether repeating the call may succeed.
    pub fn is_temporary(&self) -> bool {
        self.kind == StorageErrorKind::Temporary
    }

    /// The hint of whoever explained it.
    fn explained_hint(&self) -> Option<String> {
        let mut reason: Option<&(dyn std::error::Error + 'static)> = Some(&*self.source);
        while let Some(error) = reason {
            if let Some(explained) = error.downcast_ref::<Explained>() {
                return explained.hint.clone();
            }
            reason = error.source();
        }
        None
    }

    /// What to try next.
    pub(super) fn hint(&self) -> Option<String> {
        if let Some(hint) = self.explained_hint() {
            return Some(hint);
        }
        Some(match self.kind {
            StorageErrorKind::Missing => "check that the storage is mounted and complete".into(),
            StorageErrorKind::Denied if self.source.is::<CannotChange>() => {
                "bring its snapshots into a repository with `larder import`, and change them there"
                    .into()
            }
            StorageErrorKind::Denied => "check the credentials and permissions for it".into(),
            StorageErrorKind::Full => {
                "free some space there, then run it again: it goes on from what was stored".into()
            }
            StorageErrorKind::Temporary => "run it again later".into(),
            StorageErrorKind::Unusable => "check the location for typing errors".into(),
            StorageErrorKind::Exists | StorageErrorKind::Permanent => return None,
        })
    }
}
