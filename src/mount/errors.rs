//! Why nothing could be mounted, in words.

use std::io;
use std::path::Path;

use super::MountOptions;
use crate::error::{Error, Result};

/// The device that a session talks through.
const DEVICE: &str = "/dev/fuse";

/// Refuses what the system's helper would leave out without a word that anybody sees.
///
/// # Errors
/// [`Error::Usage`].
pub(super) fn check(options: &MountOptions) -> Result<()> {
    if (options.devices || options.set_ids) && !crate::fsmeta::is_root() {
        return Err(Error::usage_hint(
            "only root may mount with `-o dev` or `-o suid`",
            "leave them out: device nodes and set-id bits are shown all the same",
        ));
    }
    Ok(())
}

pub(super) fn explain(error: io::Error, folder: &Path) -> Error {
    let said = error.to_string();
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let hint = match () {
        () if !Path::new(DEVICE).exists() => {
            "this system has no FUSE now: load it with `modprobe fuse`, or give the container \
             `/dev/fuse`; `larder restore` works without it"
        }
        () if is_missing => "install the package `fuse3`, which has `fusermount3`",
        () if said.contains("user_allow_other") => {
            "write the line `user_allow_other` to `/etc/fuse.conf`, or mount as root"
        }
        () if opening_is_denied() => {
            "this user may not open `/dev/fuse`: run as root, or `chmod 666 /dev/fuse` as root"
        }
        () => return Error::local("mount on", folder, tidy(error)),
    };
    Error::usage_hint(format!("could not mount on `{}`: {}", folder.display(), tidy(error)), hint)
}

/// The helper says its name and ends its line.
fn tidy(error: io::Error) -> io::Error {
    let text = error.to_string();
    let plain = text.trim().trim_start_matches("fusermount3: ").trim_start_matches("fusermount: ");
    match plain == text {
        true => error,
        false => io::Error::other(plain.to_owned()),
    }
}

fn opening_is_denied() -> bool {
    let opened = std::fs::File::options().read(true).write(true).open(DEVICE);
    opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
