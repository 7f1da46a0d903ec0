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

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
