//! What an entry is, by directory and name.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType};

use super::types::{FileKind, Stat, Time};

/// Describes the entry `name` of `dir`; a symbolic link itself, not what it points to.
///
/// Never triggers an automount.
///
/// # Errors
/// What the system says; `NotFound` if the entry vanished.
pub fn stat_at(dir: impl AsFd, name: &[u8]) -> io::Result<Stat> {
    convert(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Describes what `name` in `dir` leads to, through symbolic links.
///
/// # Errors
/// What the system says.
pub fn stat_follow_at(dir: impl AsFd, name: &[u8]) -> io::Result<Stat> {
    convert(rustix::fs::statat(dir, name, AtFlags::empty())?)
}

/// Describes an open file or directory.
///
/// # Errors
/// What the system says.
pub fn stat_fd(fd: impl AsFd) -> io::Result<Stat> {
    convert(rustix::fs::fstat(fd)?)
}

/// Whether the entry `name` of `dir` has the `nodump` flag, as far as its file system tells.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub fn has_nodump_at(dir: impl AsFd, name: &[u8]) -> io::Result<bool> {
    use rustix::fs::{StatxAttributes, StatxFlags};
    let statx = rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
    Ok(statx.stx_attributes.contains(StatxAttributes::NODUMP))
}

/// Never on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn has_nodump_at(_dir: impl AsFd, _name: &[u8]) -> io::Result<bool> {
    Ok(false)
}

/// Reads where the symbolic link `name` of `dir` points to, whatever its length.
///
/// # Errors
/// `InvalidInput` if it is no symbolic link (any more), or what the system says.
pub fn read_link_at(dir: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

// The fields' types differ between architectures and libraries, so some casts are needed in one
// place and superfluous in another.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
fn convert(stat: rustix::fs::Stat) -> io::Result<Stat> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a file of unknown kind"));
        }
    };
    let device = if kind.is_device() { stat.st_rdev } else { 0 };
    Ok(Stat {
        kind,
        mode: stat.st_mode as u32 & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: Time { secs: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
        ctime: Time { secs: stat.st_ctime as i64, nanos: stat.st_ctime_nsec as u32 },
        atime: Time { secs: stat.st_atime as i64, nanos: stat.st_atime_nsec as u32 },
        inode: stat.st_ino as u64,
        nlink: stat.st_nlink as u64,
        dev: stat.st_dev as u64,
        rdev_major: rustix::fs::major(device),
        rdev_minor: rustix::fs::minor(device),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
    })
}
