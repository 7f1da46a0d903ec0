//! Who and where this process is, as records name it.

use super::OwnerNames;

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of the user that this process runs as, or the number of one without a name.
pub fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    OwnerNames::load().user(uid).map_or_else(|| uid.to_string(), |name| name.to_string())
}
