//! Reads extended attributes. ACLs (`system.posix_acl_*`) and file capabilities
//! (`security.capability`) are extended attributes to Linux and travel as such.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::types::{Xattr, Xattrs};

/// Reads the attributes of an open file or directory (not one held with
/// [`open_path_at`](super::open_path_at)).
///
/// A file system without attributes has none. An attribute that vanishes meanwhile is left out.
///
/// # Errors
/// What the system says when it does not even list them.
#[cfg(target_os = "linux")]
pub fn read_xattrs_fd(fd: impl AsFd) -> io::Result<Xattrs> {
    use rustix::fs::{fgetxattr, flistxattr};
    collect(|buf| flistxattr(&fd, buf), |name, buf| fgetxattr(&fd, name, buf))
}

/// Reads the attributes of the entry `name` of `dir`, of any kind, without opening it; of a
/// symbolic link those of the link.
///
/// # Errors
/// What the system says when it does not even list them. Needs `/proc`.
#[cfg(target_os = "linux")]
pub fn read_xattrs_at(dir: impl AsFd, name: &[u8]) -> io::Result<Xattrs> {
    use rustix::fs::{lgetxattr, llistxattr};
    let path = [&proc_path(&dir)[..], b"/", name].concat();
    collect(|buf| llistxattr(&path[..], buf), |name, buf| lgetxattr(&path[..], name, buf))
}

/// No attributes on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn read_xattrs_fd(_fd: impl AsFd) -> io::Result<Xattrs> {
    Ok(Xattrs::default())
}

/// No attributes on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn read_xattrs_at(_dir: impl AsFd, _name: &[u8]) -> io::Result<Xattrs> {
    Ok(Xattrs::default())
}

/// The path at which the kernel shows an open file, for the calls that take no descriptor of a
/// file that is only held.
pub(super) fn proc_path(fd: impl AsFd) -> Vec<u8> {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()).into_bytes()
}

#[cfg(target_os = "linux")]
fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Xattrs> {
    let names = list_names(list)?;
    let mut xattrs = Xattrs::default();
    for name in names {
        match read_growing(|buf| get(&name, buf)) {
            Ok(value) => xattrs.list.push(Xattr { name, value }),
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => xattrs.unreadable.push((name, error.into())),
        }
    }
    xattrs.list.sort_unstable();
    Ok(xattrs)
}

/// The names alone; none on a file system that has no attributes.
#[cfg(target_os = "linux")]
pub(super) fn list_names(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<Vec<u8>>> {
    match read_growing(list) {
        Ok(names) => {
            let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Ok(names.map(<[u8]>::to_vec).collect())
        }
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads into a small buffer, since most lists and values are empty or small, then into larger
/// ones. The kernel caps both at 64 KiB; the last step is for file systems that do not.
#[cfg(target_os = "linux")]
fn read_growing(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match read(&mut small) {
        Err(Errno::RANGE) => {}
        result => return Ok(small[..result?].to_vec()),
    }
    let mut result = Err(Errno::RANGE);
    for len in [8 << 10, 64 << 10, 16 << 20] {
        let mut buf = vec![0; len];
        result = read(&mut buf).map(|read| {
            buf.truncate(read);
            buf
        });
        if !matches!(result, Err(Errno::RANGE)) {
            break;
        }
    }
    result
}
