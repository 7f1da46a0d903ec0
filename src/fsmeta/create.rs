//! Makes, links, renames and removes entries, by directory and name, without following symbolic
//! links.
//!
//! New entries are open to their owner alone until [`apply`](super::apply()) gives them their mode.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::open::{OpenDir, open_dir_at};
use super::types::FileKind;

/// Makes an empty file to be written, and read back.
///
/// # Errors
/// `AlreadyExists` if anything is there, be it a symbolic link to nowhere, or what the system
/// says.
pub fn create_file_at(dir: impl AsFd, name: &[u8]) -> io::Result<File> {
    check_name(name)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(dir, name, flags, OWNER_FILE)?))
}

/// Opens the regular file `name` of `dir` to be written in place, and read.
///
/// # Errors
/// `InvalidInput` if it is something else, or what the system says.
pub fn open_file_to_write_at(dir: impl AsFd, name: &[u8]) -> io::Result<File> {
    check_name(name)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::empty())?;
    match super::stat_fd(&file)?.kind {
        FileKind::File => Ok(File::from(file)),
        other => Err(invalid(format!("it is a {} and no file", other.as_str()))),
    }
}

/// Makes a directory.
///
/// # Errors
/// `AlreadyExists` if anything is there, or what the system says.
pub fn create_dir_at(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    check_name(name)?;
    Ok(rustix::fs::mkdirat(dir, name, OWNER_DIR)?)
}

/// Makes a symbolic link to `target`, which may be any bytes but NUL.
///
/// # Errors
/// `AlreadyExists` if anything is there, or what the system says.
pub fn create_symlink_at(dir: impl AsFd, name: &[u8], target: &[u8]) -> io::Result<()> {
    check_name(name)?;
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

/// Makes a fifo, a socket or a device node; `major` and `minor` say which device and are ignored
/// for the others.
///
/// # Errors
/// `PermissionDenied` for a device if we are not root, `AlreadyExists` if anything is there,
/// `InvalidInput` for other kinds, or what the system says.
#[cfg(not(target_vendor = "apple"))]
pub fn create_special_at(
    dir: impl AsFd,
    name: &[u8],
    kind: FileKind,
    major: u32,
    minor: u32,
) -> io::Result<()> {
    check_name(name)?;
    let (kind, device) = match kind {
        FileKind::Fifo => (FileType::Fifo, 0),
        FileKind::Socket => (FileType::Socket, 0),
        FileKind::CharDevice => (FileType::CharacterDevice, rustix::fs::makedev(major, minor)),
        FileKind::BlockDevice => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
        other => return Err(invalid(format!("a {} is nothing special", other.as_str()))),
    };
    Ok(rustix::fs::mknodat(dir, name, kind, OWNER_FILE, device)?)
}

/// Not on this system.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(target_vendor = "apple")]
pub fn create_special_at(
    _dir: impl AsFd,
    _name: &[u8],
    _kind: FileKind,
    _major: u32,
    _minor: u32,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives the entry `name` of `dir` another name. A symbolic link is linked itself.
///
/// # Errors
/// `AlreadyExists` if anything is there, or what the system says.
pub fn hard_link_at(
    dir: impl AsFd,
    name: &[u8],
    new_dir: impl AsFd,
    new_name: &[u8],
) -> io::Result<()> {
    check_name(name)?;
    check_name(new_name)?;
    Ok(rustix::fs::linkat(dir, name, new_dir, new_name, AtFlags::empty())?)
}

/// Renames an entry. Whatever had the new name is gone, without a moment in between.
///
/// # Errors
/// What the system says.
pub fn rename_at(
    dir: impl AsFd,
    name: &[u8],
    new_dir: impl AsFd,
    new_name: &[u8],
) -> io::Result<()> {
    check_name(name)?;
    check_name(new_name)?;
    Ok(rustix::fs::renameat(dir, name, new_dir, new_name)?)
}

/// Renames an entry to a name that must be free.
///
/// # Errors
/// `AlreadyExists` if anything is there, `InvalidInput` or `Unsupported` if the file system
/// cannot do that, or what the system says.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub fn rename_new_at(
    dir: impl AsFd,
    name: &[u8],
    new_dir: impl AsFd,
    new_name: &[u8],
) -> io::Result<()> {
    check_name(name)?;
    check_name(new_name)?;
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    Ok(rustix::fs::renameat_with(dir, name, new_dir, new_name, flags)?)
}

/// Not on this system.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub fn rename_new_at(
    _dir: impl AsFd,
    _name: &[u8],
    _new_dir: impl AsFd,
    _new_name: &[u8],
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes an entry that is no directory.
///
/// # Errors
/// What the system says.
pub fn remove_file_at(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    check_name(name)?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Removes an empty directory.
///
/// # Errors
/// What the system says.
pub fn remove_dir_at(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    check_name(name)?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Opens the directory at `path` below `root`, whatever its length, without following symbolic
/// links and without leaving `root`. The empty path is `root` itself.
///
/// # Errors
/// `InvalidInput` for a path that no manifest may hold (`..`, an empty component, ...), or what
/// the system says: a symbolic link on the way is an error.
pub fn open_dir_beneath(root: impl AsFd, path: &[u8], purpose: OpenDir) -> io::Result<OwnedFd> {
    if path.is_empty() {
        return open_dir_at(root, b".", purpose);
    }
    path.split(|byte| *byte == b'/').try_for_each(check_name)?;
    #[cfg(target_os = "linux")]
    if let Some(result) = open_in_few_calls(&root, path, purpose) {
        return result;
    }
    let mut at: Option<OwnedFd> = None;
    let mut rest = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = rest.next() {
        let purpose = if rest.peek().is_some() { OpenDir::Path } else { purpose };
        at = Some(match &at {
            None => open_dir_at(&root, name, purpose)?,
            Some(dir) => open_dir_at(dir, name, purpose)?,
        });
    }
    at.ok_or_else(|| invalid("an empty path".into()))
}

/// Opens it with `openat2`, as much of a long path at a time as the system takes; `None` if that
/// cannot be used.
#[cfg(target_os = "linux")]
fn open_in_few_calls(
    root: impl AsFd,
    path: &[u8],
    purpose: OpenDir,
) -> Option<io::Result<OwnedFd>> {
    let mut at: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() >= PATH_BYTES_MAX {
        let end = rest[..PATH_BYTES_MAX].iter().rposition(|byte| *byte == b'/')?;
        let dir = match &at {
            None => open_in_one_call(&root, &rest[..end], OpenDir::Path)?,
            Some(dir) => open_in_one_call(dir, &rest[..end], OpenDir::Path)?,
        };
        match dir {
            Ok(dir) => at = Some(dir),
            Err(error) => return Some(Err(error)),
        }
        rest = &rest[end + 1..];
    }
    match &at {
        None => open_in_one_call(root, rest, purpose),
        Some(dir) => open_in_one_call(dir, rest, purpose),
    }
}

/// PATH_MAX, the NUL included.
#[cfg(target_os = "linux")]
const PATH_BYTES_MAX: usize = 4096;

/// Opens it with one `openat2`; `None` if that cannot be used.
#[cfg(target_os = "linux")]
fn open_in_one_call(root: impl AsFd, path: &[u8], purpose: OpenDir) -> Option<io::Result<OwnedFd>> {
    use rustix::fs::ResolveFlags;
    use rustix::io::Errno;

    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = match purpose {
        OpenDir::Read => flags | OFlags::RDONLY,
        OpenDir::Path => flags | OFlags::PATH,
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(fd) => Some(Ok(fd)),
        // Too old a kernel, a sandbox that forbids the call, or a rename somewhere meanwhile.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INTR) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Opens the directory at `path` below `root` as [`open_dir_beneath`] does, and makes those
/// directories on the way that are missing.
///
/// # Errors
/// As [`open_dir_beneath`].
pub fn make_dirs_beneath(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    match open_dir_beneath(&root, path, OpenDir::Path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let mut at = open_dir_beneath(&root, b"", OpenDir::Path)?;
    for name in path.split(|byte| *byte == b'/') {
        match create_dir_at(&at, name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => at = open_dir_at(&at, name, OpenDir::Path)?,
        }
    }
    Ok(at)
}

/// Makes a file longer, with a hole, or shorter.
///
/// # Errors
/// What the system says.
pub fn set_len(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// Turns a range of a file into a hole; its length stays.
///
/// # Errors
/// `Unsupported` where the file system knows no holes: write zeros instead.
#[cfg(target_os = "linux")]
pub fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    if len == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, offset, len)?)
}

/// Not on this system.
///
/// # Errors
/// Always `Unsupported`: write zeros instead.
#[cfg(not(target_os = "linux"))]
pub fn punch_hole(_file: &File, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

const OWNER_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const OWNER_DIR: Mode = Mode::RWXU;

/// Names come from repositories, which may be hostile: one that is a path would lead elsewhere.
fn check_name(name: &[u8]) -> io::Result<()> {
    if name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|byte| matches!(byte, b'/' | 0))
    {
        return Err(invalid(format!("`{}` is not the name of a file", name.escape_ascii())));
    }
    Ok(())
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
