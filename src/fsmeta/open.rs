//! Opens files and directories for reading, by directory and name.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// What an open directory is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenDir {
    /// Reading its names, and reaching what is in it.
    Read,
    /// Reaching what is in it. Needs no permission to read it.
    Path,
}

/// Opens the root directory, to reach what is below.
///
/// # Errors
/// What the system says.
pub fn open_root() -> io::Result<OwnedFd> {
    open_dir_path_at(CWD, b"/")
}

/// Opens the regular file `name` of `dir` for reading.
///
/// Leaves the access time alone where the system permits it. If something else sits there by now,
/// a symbolic link is not followed, and a fifo does not make it wait: look at
/// [`stat_fd`](super::stat_fd) of what was opened before trusting what was read.
///
/// # Errors
/// What the system says; `NotFound` if it vanished.
pub fn open_file_at(dir: impl AsFd, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(open_quietly(dir, name, flags)?))
}

/// Opens the directory `name` of `dir`; a symbolic link is not followed.
///
/// # Errors
/// What the system says.
pub fn open_dir_at(dir: impl AsFd, name: &[u8], purpose: OpenDir) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    match purpose {
        OpenDir::Read => open_quietly(dir, name, flags | OFlags::RDONLY),
        OpenDir::Path => open_retrying(dir, name, flags | PATH),
    }
}

/// Opens the directory that `name` in `dir` leads to, through symbolic links, to reach what is in
/// it.
///
/// # Errors
/// What the system says.
pub fn open_dir_path_at(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    open_retrying(dir, name, OFlags::DIRECTORY | PATH)
}

/// Takes hold of the entry `name` of `dir`, of any kind, without opening it: enough to describe
/// it and to set its metadata ([`Target::path`](super::Target::path)). A symbolic link is held
/// itself.
///
/// # Errors
/// What the system says.
pub fn open_path_at(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    open_retrying(dir, name, OFlags::NOFOLLOW | PATH)
}

/// Calls `each` with the name of every entry of an open directory but `.` and `..`, in the order
/// of the file system, and with whether it is a directory, where that is known without a look.
///
/// # Errors
/// What the system says. Names before the error were given to `each` already.
#[cfg(target_os = "linux")]
pub fn read_dir_names(
    dir: impl AsFd,
    buf: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], Option<bool>),
) -> io::Result<()> {
    // One call for most directories; a name is at most 255 bytes, so it always fits.
    buf.clear();
    buf.reserve(DIR_BUFFER_BYTES);
    let spare: &mut [MaybeUninit<u8>] = buf.spare_capacity_mut();
    let mut entries = rustix::fs::RawDir::new(dir, spare);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, is_dir(entry.file_type()));
        }
    }
    Ok(())
}

/// Calls `each` with the name of every entry of an open directory but `.` and `..`, in the order
/// of the file system, and with whether it is a directory, where that is known without a look.
///
/// # Errors
/// What the system says. Names before the error were given to `each` already.
#[cfg(not(target_os = "linux"))]
pub fn read_dir_names(
    dir: impl AsFd,
    _buf: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], Option<bool>),
) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, is_dir(entry.file_type()));
        }
    }
    Ok(())
}

fn is_dir(kind: FileType) -> Option<bool> {
    (kind != FileType::Unknown).then_some(kind == FileType::Directory)
}

#[cfg(target_os = "linux")]
const DIR_BUFFER_BYTES: usize = 64 << 10;

#[cfg(target_os = "linux")]
const PATH: OFlags = OFlags::PATH;
// Systems without O_PATH need permission to read the directory.
#[cfg(not(target_os = "linux"))]
const PATH: OFlags = OFlags::RDONLY;

/// Opens without touching the access time, if we own the file or are root.
fn open_quietly(dir: impl AsFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    match open_retrying(&dir, name, flags | OFlags::NOATIME) {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
        result => return result,
    }
    open_retrying(dir, name, flags)
}

fn open_retrying(dir: impl AsFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    loop {
        match rustix::fs::openat(&dir, name, flags | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
