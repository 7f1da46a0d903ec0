//! Gives an entry its owner, mode, attributes, times and flags.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::flags::{APPEND, FLAGS_KEPT, IMMUTABLE};
use super::flags::{COMPRESSED, NO_COMPRESSION, NO_COPY_ON_WRITE};
use super::types::{FileKind, Time, Xattr};
use super::xattr::proc_path;

/// What to apply.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    /// What the entry is.
    pub kind: FileKind,
    /// Owner's number; `None` leaves it to the system.
    pub uid: Option<u32>,
    /// Group's number; `None` leaves it to the system.
    pub gid: Option<u32>,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// All extended attributes that it shall have; `None` leaves those it has.
    pub xattrs: Option<&'a [Xattr]>,
    /// Last change.
    pub mtime: Time,
    /// Last access; `None` leaves it.
    pub atime: Option<Time>,
    /// Inode flags, those in [`FLAGS_KEPT`]; `None` leaves them.
    pub flags: Option<u32>,
}

/// The entry to apply to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    fd: BorrowedFd<'a>,
    /// Whether the descriptor only holds the entry, so that most calls need a detour.
    held: bool,
}

impl<'a> Target<'a> {
    /// An open regular file or directory.
    pub fn open(fd: &'a impl AsFd) -> Self {
        Self { fd: fd.as_fd(), held: false }
    }

    /// An entry held with [`open_path_at`](super::open_path_at). Needs `/proc` for some things.
    pub fn path(fd: &'a impl AsFd) -> Self {
        Self { fd: fd.as_fd(), held: true }
    }
}

/// An aspect of an entry that may fail to be applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Owner or group.
    Owner,
    /// Permission bits.
    Mode,
    /// The extended attribute of this name.
    Xattr(Vec<u8>),
    /// Times.
    Times,
    /// Inode flags.
    Flags,
    /// The device node as such (reported by who makes entries).
    Device,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Mode => f.write_str("mode"),
            Self::Xattr(name) => write!(f, "attribute {}", name.escape_ascii()),
            Self::Times => f.write_str("times"),
            Self::Flags => f.write_str("flags"),
            Self::Device => f.write_str("device node"),
        }
    }
}

/// Something that could not be applied, and why.
#[derive(Debug)]
pub struct Unapplied {
    /// What.
    pub aspect: Aspect,
    /// What the system said.
    pub error: io::Error,
}

/// Applies everything, in the order in which no step undoes another, and returns what could not
/// be applied.
///
/// * Owner first: changing it clears set-user-id and capabilities.
/// * Attributes before the mode, since writing them can need a permission that the mode takes
///   away, and since an ACL changes the mode.
/// * Flags last: an immutable file takes nothing more.
///
/// If the owner cannot be set, a file gets no set-user-id and set-group-id: they would hand out
/// the rights of another user than they were meant to.
pub fn apply(target: Target<'_>, metadata: &Metadata<'_>) -> Vec<Unapplied> {
    let mut unapplied = Vec::new();
    let mut note = |aspect: Aspect, result: io::Result<()>| {
        let failed = result.is_err();
        unapplied.extend(result.err().map(|error| Unapplied { aspect, error }));
        failed
    };
    let owner_failed = note(Aspect::Owner, set_owner(target, metadata));
    if let Some(xattrs) = metadata.xattrs {
        for (name, result) in set_xattrs(target, xattrs) {
            note(Aspect::Xattr(name), result);
        }
    }
    if metadata.kind != FileKind::Symlink {
        note(Aspect::Mode, set_mode(target, metadata, owner_failed));
    }
    note(Aspect::Times, set_times(target, metadata.mtime, metadata.atime));
    if let Some(flags) = metadata.flags
        && matches!(metadata.kind, FileKind::File | FileKind::Dir)
    {
        note(Aspect::Flags, set_flags(target, flags));
    }
    unapplied
}

fn set_owner(target: Target<'_>, metadata: &Metadata<'_>) -> io::Result<()> {
    let uid = metadata.uid.map(|uid| known(uid).map(Uid::from_raw)).transpose()?;
    let gid = metadata.gid.map(|gid| known(gid).map(Gid::from_raw)).transpose()?;
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    let set = |uid, gid| {
        if target.held {
            rustix::fs::chownat(target.fd, c"", uid, gid, EMPTY_PATH)
        } else {
            rustix::fs::fchown(target.fd, uid, gid)
        }
    };
    match set(uid, gid) {
        Ok(()) => return Ok(()),
        // Not root: a group that we are in can be set nevertheless.
        Err(Errno::PERM) if gid.is_some() => {
            let _ = set(None, gid);
        }
        Err(error) => return Err(error.into()),
    }
    // A user restoring own files needs no right to give them away.
    let stat = super::stat_fd(target.fd)?;
    let same = metadata.uid.is_none_or(|uid| uid == stat.uid)
        && metadata.gid.is_none_or(|gid| gid == stat.gid);
    if same { Ok(()) } else { Err(Errno::PERM.into()) }
}

/// The number that stands for "leave it" is no owner.
fn known(id: u32) -> io::Result<u32> {
    if id == u32::MAX { Err(Errno::INVAL.into()) } else { Ok(id) }
}

fn set_mode(target: Target<'_>, metadata: &Metadata<'_>, owner_failed: bool) -> io::Result<()> {
    const SET_ID: u32 = 0o6000;
    let wanted = metadata.mode & 0o7777;
    let mode = match owner_failed && metadata.kind == FileKind::File {
        true => wanted & !SET_ID,
        false => wanted,
    };
    let bits = Mode::from_raw_mode(mode as rustix::fs::RawMode);
    if target.held {
        rustix::fs::chmodat(CWD, proc_path(target.fd), bits, AtFlags::empty())?;
    } else {
        rustix::fs::fchmod(target.fd, bits)?;
    }
    // The system drops some of these bits without a word.
    if wanted & 0o7000 != 0 && super::stat_fd(target.fd)?.mode != wanted {
        return Err(Errno::PERM.into());
    }
    Ok(())
}

/// Sets the attributes it shall have and removes all others: some come with a new file, such as
/// the default ACL of its directory.
#[cfg(target_os = "linux")]
fn set_xattrs(target: Target<'_>, xattrs: &[Xattr]) -> Vec<(Vec<u8>, io::Result<()>)> {
    use rustix::fs::{self, XattrFlags};

    // The path leads to the held entry itself, even if that is a symbolic link.
    let path = if target.held { proc_path(target.fd) } else { Vec::new() };
    let mut results = Vec::new();
    let present = super::xattr::list_names(|buf| match target.held {
        true => fs::listxattr(&path[..], buf),
        false => fs::flistxattr(target.fd, buf),
    });
    for name in present.unwrap_or_default() {
        if xattrs.iter().any(|xattr| xattr.name == name) {
            continue;
        }
        let result = match target.held {
            true => fs::removexattr(&path[..], &name[..]),
            false => fs::fremovexattr(target.fd, &name[..]),
        };
        // Labels that a security module gives every file stay, as on any other new file.
        match result {
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(_) if name.starts_with(b"security.") && name != b"security.capability" => {}
            result => results.push((name, result.map_err(Into::into))),
        }
    }
    for xattr in xattrs {
        let result = match target.held {
            true => fs::setxattr(&path[..], &xattr.name[..], &xattr.value, XattrFlags::empty()),
            false => fs::fsetxattr(target.fd, &xattr.name[..], &xattr.value, XattrFlags::empty()),
        };
        results.push((xattr.name.clone(), result.map_err(Into::into)));
    }
    results
}

#[cfg(not(target_os = "linux"))]
fn set_xattrs(_target: Target<'_>, xattrs: &[Xattr]) -> Vec<(Vec<u8>, io::Result<()>)> {
    let refuse = |xattr: &Xattr| (xattr.name.clone(), Err(io::ErrorKind::Unsupported.into()));
    xattrs.iter().map(refuse).collect()
}

/// Sets the times of an entry; `None` leaves the last access.
///
/// # Errors
/// What the system says.
pub fn set_times(target: Target<'_>, mtime: Time, atime: Option<Time>) -> io::Result<()> {
    let timespec =
        |time: Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos as rustix::fs::Nsecs };
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = Timestamps {
        last_access: atime.map_or(omit, timespec),
        last_modification: timespec(mtime),
    };
    // Larger values have other meanings, such as "now".
    if mtime.nanos >= 1_000_000_000 || atime.is_some_and(|atime| atime.nanos >= 1_000_000_000) {
        return Err(Errno::INVAL.into());
    }
    if !target.held {
        return Ok(rustix::fs::futimens(target.fd, &times)?);
    }
    match rustix::fs::utimensat(target.fd, c"", &times, EMPTY_PATH) {
        // Before Linux 5.8.
        Err(Errno::INVAL) => {
            Ok(rustix::fs::utimensat(CWD, proc_path(target.fd), &times, AtFlags::empty())?)
        }
        result => Ok(result?),
    }
}

#[cfg(target_os = "linux")]
const EMPTY_PATH: AtFlags = AtFlags::EMPTY_PATH;
// Without O_PATH nothing is ever held.
#[cfg(not(target_os = "linux"))]
const EMPTY_PATH: AtFlags = AtFlags::empty();

/// Sets those flags that matter before a file gets content (copy on write and compression, as
/// btrfs has them). What cannot be set shows when [`apply`] comes to the flags.
pub fn prepare_flags(file: &impl AsFd, flags: u32) {
    let early = flags & (NO_COPY_ON_WRITE | NO_COMPRESSION | COMPRESSED);
    if early != 0 {
        let _ = set_flags(Target::open(file), early);
    }
}

/// Clears the flags that keep an existing file or directory from being changed, before it is
/// restored in place.
///
/// # Errors
/// `PermissionDenied` if we may not.
pub fn clear_protection(file: &impl AsFd) -> io::Result<()> {
    let flags = super::read_flags(file)?;
    if flags & (IMMUTABLE | APPEND) == 0 {
        return Ok(());
    }
    set_flags(Target::open(file), flags & !(IMMUTABLE | APPEND))
}

#[cfg(target_os = "linux")]
fn set_flags(target: Target<'_>, wanted: u32) -> io::Result<()> {
    use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};

    let opened;
    let fd = if target.held {
        // The ioctl takes no held entry. This is the entry itself, which is a file or directory.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::open(proc_path(target.fd), flags, Mode::empty()) {
            Ok(fd) => opened = fd,
            Err(_) if wanted == 0 => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        opened.as_fd()
    } else {
        target.fd
    };
    let present = match ioctl_getflags(fd) {
        Ok(flags) => flags.bits(),
        // A file system without flags has what is wanted if nothing is.
        Err(_) if wanted == 0 => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let all = (present & !FLAGS_KEPT) | (wanted & FLAGS_KEPT);
    if present == all {
        return Ok(());
    }
    let Err(error) = ioctl_setflags(fd, IFlags::from_bits_retain(all)) else {
        return Ok(());
    };
    // One flag that this system lacks, or that only root may set, must not cost the others; those
    // that protect come last.
    let mut reached = present;
    let protecting = [IMMUTABLE, APPEND];
    let others = (0..32).map(|bit| 1 << bit).filter(|flag| !protecting.contains(flag));
    for flag in others.chain(protecting).filter(|flag| (present ^ all) & flag != 0) {
        if ioctl_setflags(fd, IFlags::from_bits_retain(reached ^ flag)).is_ok() {
            reached ^= flag;
        }
    }
    if reached == all { Ok(()) } else { Err(error.into()) }
}

#[cfg(not(target_os = "linux"))]
fn set_flags(_target: Target<'_>, wanted: u32) -> io::Result<()> {
    if wanted == 0 { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}
