//! From what the system says to the classes of failure that somebody acts on.

use std::io;

use rustix::io::Errno;

use super::name::{check_name, check_prefix};
use crate::error::{StorageError, StorageErrorKind};

/// Makes a [`StorageError`].
pub(crate) fn failure(
    location: &str,
    action: &'static str,
    object: &str,
    kind: StorageErrorKind,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StorageError {
    StorageError {
        action,
        object: object.into(),
        location: location.into(),
        kind,
        source: source.into(),
    }
}

/// Refuses a name that no object may have.
pub(crate) fn checked_name(
    location: &str,
    action: &'static str,
    name: &str,
) -> Result<(), StorageError> {
    check_name(name)
        .map_err(|what| failure(location, action, name, StorageErrorKind::Permanent, what))
}

/// Refuses a folder that no object may live in.
pub(crate) fn checked_prefix(location: &str, prefix: &str) -> Result<(), StorageError> {
    check_prefix(prefix)
        .map_err(|what| failure(location, "list", prefix, StorageErrorKind::Permanent, what))
}

/// The error for an object that is longer than the caller allows.
pub(crate) fn too_long(location: &str, name: &str, len: u64, len_max: u64) -> StorageError {
    let what = format!("it has {len} bytes, at most {len_max} are expected");
    failure(location, "read", name, StorageErrorKind::Permanent, what)
}

/// The error for an object that ends before the last byte asked for.
pub(crate) fn too_short(location: &str, name: &str, len_needed: u64) -> StorageError {
    let what = format!("it ends before byte {len_needed}");
    failure(location, "read", name, StorageErrorKind::Permanent, what)
}

/// An empty buffer for `len` bytes; a length that memory cannot hold is an error, not an abort.
pub(crate) fn buffer(location: &str, name: &str, len: u64) -> Result<Vec<u8>, StorageError> {
    let mut buf = Vec::new();
    let reserved = usize::try_from(len).map(|len| buf.try_reserve_exact(len));
    match reserved {
        Ok(Ok(())) => Ok(buf),
        _ => {
            let what = format!("its {len} bytes do not fit into memory");
            Err(failure(location, "read", name, StorageErrorKind::Permanent, what))
        }
    }
}

/// The class of an error of the operating system.
pub(crate) fn classify(error: &io::Error) -> StorageErrorKind {
    use StorageErrorKind::{Denied, Exists, Full, Missing, Permanent, Temporary};
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR) => Missing,
        Some(Errno::EXIST) => Exists,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Denied,
        // A file size limit of the process or of a quota shows as "file too big".
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Full,
        Some(
            Errno::INTR
            | Errno::AGAIN
            | Errno::BUSY
            | Errno::TIMEDOUT
            | Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            // A server that restarted, or a network that is away: mounts of NFS and SMB.
            | Errno::STALE
            | Errno::CONNRESET
            | Errno::CONNREFUSED
            | Errno::CONNABORTED
            | Errno::PIPE
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH,
        ) => Temporary,
        Some(_) => Permanent,
        None => match error.kind() {
            io::ErrorKind::NotFound => Missing,
            io::ErrorKind::AlreadyExists => Exists,
            io::ErrorKind::PermissionDenied => Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Full,
            io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Temporary,
            _ => Permanent,
        },
    }
}
