//! From what a server says to the classes of failure that somebody acts on, in plain words.

use nfs3_client::RpcError;
use nfs3_types::nfs3::nfsstat3;

use super::super::share::Fault;
use super::client::Refusal;
use crate::error::StorageErrorKind;

const USER: &str = "give the user that may write there as `?uid=` and `?gid=`; servers often take \
                    the rights of root away";
const EXPORTS: &str = "look at the exports of the server, as `showmount -e HOST` lists them";
const PORTS: &str = "servers often take requests from ports below 1024 alone, which only root has: \
                     add `insecure` to the export, or run this as root";

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Fault(fault) => return fault,
            Refusal::Status(status) => status,
        };
        let (kind, words) = meaning(status);
        let fault = Self::new(kind, format!("{words} ({status})"));
        match status {
            nfsstat3::NFS3ERR_PERM | nfsstat3::NFS3ERR_ACCES => fault.with_hint(USER),
            _ => fault,
        }
    }
}

/// What a status means for an object.
fn meaning(status: nfsstat3) -> (StorageErrorKind, &'static str) {
    use StorageErrorKind::*;
    match status {
        nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_NOTDIR | nfsstat3::NFS3ERR_ISDIR => {
            (Missing, "there is no such file")
        }
        nfsstat3::NFS3ERR_EXIST => (Exists, "it exists already"),
        nfsstat3::NFS3ERR_PERM | nfsstat3::NFS3ERR_ACCES => {
            (Denied, "the server does not allow it to this user")
        }
        nfsstat3::NFS3ERR_ROFS => (Denied, "the export can only be read"),
        nfsstat3::NFS3ERR_NOSPC => (Full, "the disk of the server is full"),
        nfsstat3::NFS3ERR_DQUOT => (Full, "the quota of the user is used up"),
        nfsstat3::NFS3ERR_FBIG => (Full, "the server stores no file of this length"),
        nfsstat3::NFS3ERR_JUKEBOX => (Temporary, "the server has to fetch the file first"),
        nfsstat3::NFS3ERR_STALE | nfsstat3::NFS3ERR_BADHANDLE => {
            (Temporary, "the file is not the one any more that was opened")
        }
        nfsstat3::NFS3ERR_BAD_COOKIE => (Temporary, "the folder changed while it was listed"),
        nfsstat3::NFS3ERR_IO | nfsstat3::NFS3ERR_SERVERFAULT => {
            (Temporary, "the disk of the server, or the server, has failed")
        }
        nfsstat3::NFS3ERR_NOTSUPP => (Permanent, "the server cannot do this"),
        _ => (Permanent, "the server refused it"),
    }
}

/// An answer that no server gives that works.
pub(super) fn nonsense(text: &str) -> Fault {
    Fault::new(StorageErrorKind::Permanent, text)
}

/// What went wrong between here and the server. The connection is of no more use.
pub(super) fn rpc(error: &RpcError) -> Fault {
    let fault = match error {
        RpcError::Io(error) => Fault::temporary(format!("the connection was lost: {error}")),
        RpcError::Auth(status) => Fault::new(
            StorageErrorKind::Denied,
            format!("the server does not take numbers of users as a proof ({status})"),
        ),
        RpcError::SystemErr => Fault::temporary("the server has failed"),
        RpcError::ProgUnavail | RpcError::ProgMismatch { .. } => {
            Fault::new(StorageErrorKind::Unusable, "the server does not speak version 3 of NFS")
                .with_hint("mount the export, and give its folder as the location")
        }
        error => nonsense(&format!("the server sent what cannot be read: {error}")),
    };
    Fault { ends_connection: true, ..fault }
}

/// Why a server does not mount a path. `state` is one of RFC 1813, section 5.1.5.
pub(super) fn mount(state: u32, path: &str, host: &str, is_privileged: bool) -> Fault {
    const NO: [u32; 2] = [1, 13];
    const MISSING: [u32; 2] = [2, 20];
    let denied = || {
        let text = format!("{host} does not let this machine mount `{path}`");
        Fault::new(StorageErrorKind::Denied, text)
    };
    match state {
        state if NO.contains(&state) && !is_privileged => denied().with_hint(PORTS),
        state if NO.contains(&state) => denied().with_hint(EXPORTS),
        state if MISSING.contains(&state) => {
            let text = format!("{host} exports no `{path}`");
            Fault::new(StorageErrorKind::Unusable, text).with_hint(EXPORTS)
        }
        state => {
            let text = format!("{host} did not mount `{path}` (state {state})");
            Fault::new(StorageErrorKind::Unusable, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_fall_into_their_classes() {
        use StorageErrorKind::*;
        for (status, kind) in [
            (nfsstat3::NFS3ERR_NOENT, Missing),
            (nfsstat3::NFS3ERR_NOTDIR, Missing),
            (nfsstat3::NFS3ERR_EXIST, Exists),
            (nfsstat3::NFS3ERR_ACCES, Denied),
            (nfsstat3::NFS3ERR_ROFS, Denied),
            (nfsstat3::NFS3ERR_NOSPC, Full),
            (nfsstat3::NFS3ERR_DQUOT, Full),
            (nfsstat3::NFS3ERR_JUKEBOX, Temporary),
            (nfsstat3::NFS3ERR_STALE, Temporary),
            (nfsstat3::NFS3ERR_IO, Temporary),
            (nfsstat3::NFS3ERR_INVAL, Permanent),
        ] {
            assert_eq!(Fault::from(Refusal::Status(status)).kind, kind, "{status}");
        }
        let lost = rpc(&RpcError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        assert_eq!((lost.kind, lost.ends_connection), (Temporary, true));
    }

    #[test]
    fn a_refused_mount_says_what_may_help() {
        let refused = mount(13, "/srv", "nas", false);
        assert_eq!(refused.kind, StorageErrorKind::Denied);
        assert_eq!(refused.hint, Some(PORTS));
        assert_eq!(mount(13, "/srv", "nas", true).hint, Some(EXPORTS));
        assert_eq!(mount(2, "/srv", "nas", true).kind, StorageErrorKind::Unusable);
    }
}
