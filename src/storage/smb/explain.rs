//! From what a server says to the classes of failure that somebody acts on, in plain words.

use smb2::Error;
use smb2::types::status::NtStatus;

use super::super::share::Fault;
use super::target::{Login, Target};
use crate::error::StorageErrorKind;

/// `STATUS_QUOTA_EXCEEDED`, `STATUS_DISK_QUOTA_EXCEEDED`.
const QUOTA: [u32; 2] = [0xc000_0044, 0xc000_0802];

/// `STATUS_MEDIA_WRITE_PROTECTED`.
const WRITE_PROTECTED: u32 = 0xc000_00a2;

/// `STATUS_IO_TIMEOUT`.
const IO_TIMEOUT: u32 = 0xc000_00b5;

/// `STATUS_INVALID_HANDLE`: the server forgot what was open.
const INVALID_HANDLE: u32 = 0xc000_0008;

const RIGHTS: &str = "give the user the right to write there, or name another one";
const PASSWORD: &str = "check the user in the location, LARDER_SMB_PASSWORD and the domain";
const SHARE: &str = "check the name of the share: the first part of the path";

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let ends_connection = ends_connection(&error);
        let Some(status) = error.status() else {
            let kind = match &error {
                Error::Io(_) | Error::Timeout | Error::Disconnected | Error::SessionExpired => {
                    StorageErrorKind::Temporary
                }
                error if error.is_retryable() => StorageErrorKind::Temporary,
                Error::SignatureInvalid { .. } | Error::GuestSessionRefused { .. } => {
                    StorageErrorKind::Denied
                }
                _ => StorageErrorKind::Permanent,
            };
            return Self { ends_connection, ..Self::new(kind, error.to_string()) };
        };
        let (kind, words) = meaning(status);
        let fault = Self { ends_connection, ..Self::new(kind, format!("{words} ({status})")) };
        match kind {
            StorageErrorKind::Denied => fault.with_hint(RIGHTS),
            _ => fault,
        }
    }
}

/// What a status means for an object.
fn meaning(status: NtStatus) -> (StorageErrorKind, &'static str) {
    use StorageErrorKind::*;
    match status {
        NtStatus::OBJECT_NAME_NOT_FOUND
        | NtStatus::OBJECT_PATH_NOT_FOUND
        | NtStatus::NO_SUCH_FILE
        | NtStatus::NOT_FOUND
        | NtStatus::NOT_A_DIRECTORY
        | NtStatus::FILE_IS_A_DIRECTORY => (Missing, "there is no such file"),
        NtStatus::OBJECT_NAME_COLLISION => (Exists, "it exists already"),
        NtStatus::ACCESS_DENIED | NtStatus::CANNOT_DELETE => {
            (Denied, "the server does not allow it")
        }
        NtStatus(WRITE_PROTECTED) => (Denied, "the share can only be read"),
        NtStatus::DISK_FULL => (Full, "the disk of the share is full"),
        NtStatus(status) if QUOTA.contains(&status) => (Full, "the quota of the user is used up"),
        NtStatus::SHARING_VIOLATION | NtStatus::FILE_LOCK_CONFLICT => {
            (Temporary, "another program has the file open")
        }
        NtStatus::DELETE_PENDING => (Temporary, "the file is being deleted"),
        NtStatus::NETWORK_SESSION_EXPIRED | NtStatus::USER_SESSION_DELETED => {
            (Temporary, "the server ended the session")
        }
        NtStatus::NETWORK_NAME_DELETED | NtStatus::FILE_CLOSED | NtStatus(INVALID_HANDLE) => {
            (Temporary, "the server took the share away")
        }
        NtStatus::INSUFFICIENT_RESOURCES
        | NtStatus::INSUFF_SERVER_RESOURCES
        | NtStatus::REQUEST_NOT_ACCEPTED => (Temporary, "the server has too much to do"),
        NtStatus(IO_TIMEOUT) => (Temporary, "the disk of the server did not answer in time"),
        NtStatus::OBJECT_NAME_INVALID => (Permanent, "the server cannot store such a name"),
        _ => (Permanent, "the server refused it"),
    }
}

/// Whether an error ends the connection it came by.
fn ends_connection(error: &Error) -> bool {
    match error.status() {
        Some(status) => matches!(
            status,
            NtStatus::NETWORK_SESSION_EXPIRED
                | NtStatus::USER_SESSION_DELETED
                | NtStatus::NETWORK_NAME_DELETED
                | NtStatus::FILE_CLOSED
                | NtStatus(INVALID_HANDLE)
        ),
        None => {
            matches!(error, Error::Io(_) | Error::SessionExpired | Error::SignatureInvalid { .. })
                || error.is_retryable()
        }
    }
}

/// What kept a connection from being made.
pub(super) fn connecting(error: Error, target: &Target) -> Fault {
    let (address, share) = (target.address(), &target.share);
    let user = match &target.login {
        Login::Guest => "the guest account".to_owned(),
        Login::User { name, domain, .. } if domain.is_empty() => format!("user `{name}`"),
        Login::User { name, domain, .. } => format!("user `{name}` of `{domain}`"),
    };
    let denied = |text: String| Fault::new(StorageErrorKind::Denied, text);
    match (error.status(), &error) {
        (Some(NtStatus::BAD_NETWORK_NAME | NtStatus::BAD_NETWORK_PATH), _) => {
            Fault::new(StorageErrorKind::Unusable, format!("{address} has no share `{share}`"))
                .with_hint(SHARE)
        }
        (Some(NtStatus::LOGON_FAILURE), _) | (None, Error::GuestSessionRefused { .. }) => {
            denied(format!("{address} does not accept the name or the password of {user}"))
                .with_hint(PASSWORD)
        }
        (Some(NtStatus::PASSWORD_EXPIRED | NtStatus::PASSWORD_MUST_CHANGE), _) => {
            denied(format!("the password of {user} has expired on {address}"))
        }
        (
            Some(
                status @ (NtStatus::ACCOUNT_DISABLED
                | NtStatus::ACCOUNT_EXPIRED
                | NtStatus::ACCOUNT_LOCKED_OUT
                | NtStatus::ACCOUNT_RESTRICTION
                | NtStatus::INVALID_LOGON_HOURS
                | NtStatus::INVALID_WORKSTATION),
            ),
            _,
        ) => denied(format!("{address} does not let {user} in now ({status})")),
        (Some(NtStatus::ACCESS_DENIED), _) => {
            denied(format!("{address} does not let {user} into the share `{share}`")).with_hint(
                "let the user into the share; a Samba that demands encryption lets nobody in \
                     who uses this program",
            )
        }
        (Some(NtStatus::NOT_SUPPORTED), _) => Fault::new(
            StorageErrorKind::Unusable,
            format!("{address} speaks no version of SMB from 2 on: version 1 is not safe"),
        ),
        (None, Error::ConnectFailed { .. } | Error::Io(_) | Error::Timeout) => {
            Fault::temporary(format!("{address} cannot be reached: {}", reason(&error)))
        }
        _ => error.into(),
    }
}

/// The last reason of an error that lists the addresses it tried.
fn reason(error: &Error) -> String {
    match error {
        Error::ConnectFailed { attempts, .. } => match attempts.last() {
            Some(attempt) => attempt.to_string(),
            None => "its name stands for no address".into(),
        },
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smb2::types::Command;

    fn error(status: u32) -> Error {
        Error::Protocol { status: NtStatus(status), command: Command::Create }
    }

    #[test]
    fn statuses_fall_into_their_classes() {
        use StorageErrorKind::*;
        for (status, kind, ends) in [
            (0xc000_0034, Missing, false),
            (0xc000_003a, Missing, false),
            (0xc000_00ba, Missing, false),
            (0xc000_0035, Exists, false),
            (0xc000_0022, Denied, false),
            (0xc000_00a2, Denied, false),
            (0xc000_007f, Full, false),
            (0xc000_0044, Full, false),
            (0xc000_0802, Full, false),
            (0xc000_0043, Temporary, false),
            (0xc000_0056, Temporary, false),
            (0xc000_00c9, Temporary, true),
            (0xc000_0203, Temporary, true),
            (0xc000_035c, Temporary, true),
            (0xc000_009a, Temporary, false),
            (0xc000_0033, Permanent, false),
            (0xc000_1234, Permanent, false),
        ] {
            let fault = Fault::from(error(status));
            assert_eq!((fault.kind, fault.ends_connection), (kind, ends), "{status:#x}");
        }
        for lost in [Error::Disconnected, Error::Timeout, Error::Io(std::io::Error::other("x"))] {
            let fault = Fault::from(lost);
            assert_eq!((fault.kind, fault.ends_connection), (Temporary, true), "{fault}");
        }
    }
}
