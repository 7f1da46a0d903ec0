//! Inode flags, as `lsattr` and `chattr` show and set them.

use std::io;
use std::os::fd::AsFd;

#[cfg(target_os = "linux")]
use rustix::io::Errno;

/// The flags that people set and that are kept. The rest (extents, encrypted, inline data, ...)
/// tells how a file system stores a file and would make equal trees look different.
pub const FLAGS_KEPT: u32 = IMMUTABLE
    | APPEND
    | 0x0000_0001 // secure removal
    | 0x0000_0002 // undeletable
    | COMPRESSED
    | 0x0000_0008 // synchronous
    | 0x0000_0040 // no dump
    | 0x0000_0080 // no access times
    | NO_COMPRESSION
    | 0x0000_4000 // journalled data
    | 0x0000_8000 // no tail merging
    | 0x0001_0000 // synchronous directory
    | 0x0002_0000 // top of a hierarchy
    | NO_COPY_ON_WRITE
    | 0x2000_0000; // children inherit the project

pub(super) const IMMUTABLE: u32 = 0x0000_0010;
pub(super) const APPEND: u32 = 0x0000_0020;
pub(super) const COMPRESSED: u32 = 0x0000_0004;
pub(super) const NO_COMPRESSION: u32 = 0x0000_0400;
pub(super) const NO_COPY_ON_WRITE: u32 = 0x0080_0000;

/// Reads the flags of an open regular file or directory, those in [`FLAGS_KEPT`].
///
/// A file system without flags has none set. Do not ask for other kinds: a device's driver might
/// take the request for one of its own.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub fn read_flags(fd: impl AsFd) -> io::Result<u32> {
    match rustix::fs::ioctl_getflags(fd) {
        Ok(flags) => Ok(flags.bits() & FLAGS_KEPT),
        Err(Errno::NOTTY | Errno::NOTSUP | Errno::INVAL | Errno::NOSYS) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// No flags on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn read_flags(_fd: impl AsFd) -> io::Result<u32> {
    Ok(0)
}
