//! Space, durability and the page cache of open files; who we are.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// Reserves space for a range of a file that reads as zeros. The file grows if it ends before.
///
/// # Errors
/// `Unsupported` where the file system cannot, `StorageFull`, or what the system says.
#[cfg(target_os = "linux")]
pub fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    loop {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, len) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Not on this system.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn allocate(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes everything that was written to the file system of `fd` durable.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub fn sync_file_system(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fd)?)
}

/// Makes everything that was written durable.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn sync_file_system(_fd: impl AsFd) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still write.
    pub available: u64,
    /// Bytes of which files take up multiples.
    pub block: u64,
}

/// The space of the file system that an open file or folder is in.
///
/// # Errors
/// What the system says.
pub fn space(fd: impl AsFd) -> io::Result<Space> {
    let found = rustix::fs::fstatvfs(fd)?;
    let blocks = if is_root() { found.f_bfree } else { found.f_bavail };
    Ok(Space { available: blocks.saturating_mul(found.f_frsize), block: found.f_frsize })
}

/// Asks the system to read an open file from the disk again, not from memory. A hint: what is not
/// durable yet stays.
pub fn forget_cached(file: &File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Names the mount that an open file or folder is in: only within one can entries be renamed. Two
/// mounts of one file system are two, where the system tells them apart.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub fn mount_of(fd: impl AsFd) -> io::Result<(u64, u64)> {
    use rustix::fs::{AtFlags, StatxFlags};
    let dev = super::stat_fd(&fd)?.dev;
    // Before Linux 5.8 there is no number, and in a sandbox perhaps no such call.
    let mount = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .ok()
        .filter(|statx| statx.stx_mask & StatxFlags::MNT_ID.bits() != 0)
        .map_or(0, |statx| statx.stx_mnt_id);
    Ok((dev, mount))
}

/// Names the file system that an open file or folder is in.
///
/// # Errors
/// What the system says.
#[cfg(not(target_os = "linux"))]
pub fn mount_of(fd: impl AsFd) -> io::Result<(u64, u64)> {
    Ok((super::stat_fd(&fd)?.dev, 0))
}

/// Keeps others from an open file or folder until it is closed, if they ask in the same way.
/// Returns whether nobody else had it.
///
/// # Errors
/// What the system says.
pub fn try_lock(fd: impl AsFd, is_shared: bool) -> io::Result<bool> {
    use rustix::fs::FlockOperation::{NonBlockingLockExclusive, NonBlockingLockShared};
    let how = if is_shared { NonBlockingLockShared } else { NonBlockingLockExclusive };
    match rustix::fs::flock(fd, how) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Lets go of what [`try_lock`] took, at once: closing it does that only when no process that was
/// forked meanwhile has it open too.
pub fn unlock(fd: impl AsFd) {
    let _ = rustix::fs::flock(fd, rustix::fs::FlockOperation::Unlock);
}

/// Whether an entry belongs to the user that this process acts for, or to root.
pub fn is_own(found: &super::Stat) -> bool {
    found.uid == 0 || found.uid == rustix::process::geteuid().as_raw()
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// User and group that this process runs for.
pub fn own_ids() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}
