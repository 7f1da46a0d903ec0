//! Taking a mount away: by the system call for root, by `fusermount3` for everybody else.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a mount was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// Nobody used it.
    Cleanly,
    /// Somebody used it: its folder is free again, and whatever was open in it fails from now on.
    WhileInUse,
}

/// Names of the program that mounts and unmounts for ordinary users.
const HELPERS: &[&str] =
    &["fusermount3", "fusermount", "/usr/bin/fusermount3", "/bin/fusermount3", "/bin/fusermount"];

/// Takes away the mount at `folder`, also if it is in use.
///
/// # Errors
/// What the system says if it cannot be done at all.
pub(super) fn unmount(folder: &Path) -> io::Result<Unmounted> {
    match by_call(folder, false) {
        Ok(()) => return Ok(Unmounted::Cleanly),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            return by_call(folder, true).map(|()| Unmounted::WhileInUse);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(error),
    }
    match by_helper(folder, false) {
        Ok(()) => Ok(Unmounted::Cleanly),
        Err(_) => by_helper(folder, true).map(|()| Unmounted::WhileInUse),
    }
}

/// Takes away the mount at `folder` if the program that served it is gone.
///
/// # Errors
/// As [`unmount`].
pub(super) fn clear_dead(folder: &Path) -> io::Result<()> {
    match by_call(folder, true) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => by_helper(folder, true),
        result => result,
    }
}

#[cfg(target_os = "linux")]
fn by_call(folder: &Path, is_lazy: bool) -> io::Result<()> {
    use rustix::mount::UnmountFlags;
    let lazy = if is_lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    Ok(rustix::mount::unmount(folder, UnmountFlags::NOFOLLOW | lazy)?)
}

#[cfg(not(target_os = "linux"))]
fn by_call(folder: &Path, is_lazy: bool) -> io::Result<()> {
    let mut command = Command::new("umount");
    if is_lazy {
        command.arg("-f");
    }
    succeed(command.arg(folder))
}

/// Whether the program is there that mounts and unmounts for ordinary users.
pub(super) fn has_helper() -> bool {
    helpers().any(|name| Command::new(name).arg("--version").output().is_ok())
}

fn helpers() -> impl Iterator<Item = OsString> {
    let given = std::env::var_os("FUSERMOUNT_PATH");
    given.into_iter().chain(HELPERS.iter().map(OsString::from))
}

fn by_helper(folder: &Path, is_lazy: bool) -> io::Result<()> {
    for name in helpers() {
        let mut command = Command::new(name);
        command.arg("-u");
        if is_lazy {
            command.arg("-z");
        }
        match succeed(command.arg("--").arg(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    Err(io::Error::other("there is no `fusermount3`: install the package `fuse3`"))
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
