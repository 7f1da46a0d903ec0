//! Attributes as the kernel wants them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use crate::model::{FileKind, Time};
use crate::view::Attributes;

/// Bytes that are best read at once.
const READ_SIZE: u32 = 128 << 10;

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Dir => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

pub(super) fn file_attributes(found: &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(found.node.0),
        size: found.size,
        blocks: found.blocks,
        atime: system_time(found.atime),
        mtime: system_time(found.mtime),
        ctime: system_time(found.ctime),
        crtime: UNIX_EPOCH,
        kind: file_type(found.kind),
        perm: (found.mode & 0o7777) as u16,
        nlink: u32::try_from(found.nlink).unwrap_or(u32::MAX),
        uid: found.uid,
        gid: found.gid,
        rdev: found.device.map_or(0, |(major, minor)| device_number(major, minor)),
        blksize: READ_SIZE,
        flags: 0,
    }
}

/// What says that there is no such name.
pub(super) fn nothing() -> FileAttr {
    FileAttr { ino: INodeNo(0), ..dot(INodeNo(0)) }
}

/// What is said of `.` and `..`, which the kernel knows already.
pub(super) fn dot(node: INodeNo) -> FileAttr {
    FileAttr {
        ino: node,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::Directory,
        perm: 0o555,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: READ_SIZE,
        flags: 0,
    }
}

/// A moment for the system. What it cannot say becomes 1970.
fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.secs.unsigned_abs());
    let whole = match time.secs < 0 {
        true => UNIX_EPOCH.checked_sub(seconds),
        false => UNIX_EPOCH.checked_add(seconds),
    };
    let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanos.into())));
    exact.unwrap_or(UNIX_EPOCH)
}

/// A device number in the kernel's own form: 12 bits for the major number, 20 for the minor.
fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let time = system_time(Time { secs: -2, nanos: 999_000_000 });
        assert_eq!(UNIX_EPOCH.duration_since(time).unwrap(), Duration::from_millis(1001));
        assert_eq!(
            system_time(Time { secs: i64::MAX, nanos: 0 }),
            UNIX_EPOCH + Duration::from_secs(i64::MAX as u64)
        );
    }

    #[test]
    fn device_numbers_are_as_the_kernel_packs_them() {
        assert_eq!(device_number(1, 3), 0x103);
        assert_eq!(device_number(8, 0x12345), 0x12300845);
    }
}
