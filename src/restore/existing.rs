//! What is in the target already: what becomes of it, and whether it is right.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::context::Context;
use super::delete::{delete_tree, remove_file};
use super::options::Overwrite;
use crate::fsmeta::{self, Stat, data_ranges_in};
use crate::model::{Entry, FileKind, Piece};
use crate::repository::Repository;

/// What becomes of something that is under the name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is nothing.
    Free,
    /// It stays.
    Leave,
    /// It has the right content, as far as size and time tell.
    Same,
    /// Its content has to be looked at.
    Compare,
    /// It gives way.
    Replace,
}

/// Decides by what the system says about it. What has to be asked about is judged as by
/// [`Overwrite::Always`]: see [`Arbiter`](super::arbiter::Arbiter).
pub(super) fn judge(overwrite: Overwrite, entry: &Entry, found: &Stat) -> Verdict {
    match overwrite {
        Overwrite::Never => return Verdict::Leave,
        Overwrite::IfNewer if entry.mtime <= found.mtime => return Verdict::Leave,
        _ => {}
    }
    if entry.kind != found.kind {
        return Verdict::Replace;
    }
    if entry.kind != FileKind::File {
        return Verdict::Compare;
    }
    let looks_equal = entry.size == found.size && entry.mtime == found.mtime;
    // Writing into a file that has other names would change what is under those.
    if found.nlink > 1 && !(entry.nlink > 1 && looks_equal) {
        return Verdict::Replace;
    }
    match overwrite {
        Overwrite::IfChanged if looks_equal => Verdict::Same,
        // Half written it would be newer than the snapshot's, and kept by the next run.
        Overwrite::IfNewer => Verdict::Replace,
        _ => Verdict::Compare,
    }
}

/// Whether the file can be written in place; takes away what protects it.
pub(super) fn can_write(dir: impl AsFd, name: &[u8]) -> bool {
    match fsmeta::open_file_to_write_at(&dir, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unprotect(&dir, name).is_ok() && fsmeta::open_file_to_write_at(&dir, name).is_ok()
        }
        result => result.is_ok(),
    }
}

fn unprotect(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    fsmeta::clear_protection(&fsmeta::open_file_at(dir, name)?)
}

/// Removes what is in the way of an entry. A folder goes only if it is empty, or if the user
/// asked for deletions.
///
/// # Errors
/// What the system says.
pub(super) fn remove(
    ctx: &Context<'_>,
    dir: impl AsFd,
    path: &[u8],
    name: &[u8],
) -> io::Result<()> {
    let found = match fsmeta::stat_at(&dir, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.is_dir() {
        return remove_file(dir, name);
    }
    if ctx.options.delete {
        return match delete_tree(ctx, path)? {
            true => Ok(()),
            false => Err(io::Error::other("a folder is in its way, and something in that stays")),
        };
    }
    fsmeta::remove_dir_at(dir, name).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => io::Error::new(
            error.kind(),
            "a folder that is not empty is in its way; only deleting (`--delete`) removes it",
        ),
        _ => error,
    })
}

/// Whether a part of a file is what it shall be. `buffer` is scratch space.
///
/// # Errors
/// What the system says when it is read.
pub(super) fn is_right(
    repository: &Repository,
    file: &File,
    offset: u64,
    piece: &Piece,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    match piece {
        Piece::Chunk(id, len) => {
            buffer.resize(*len as usize, 0);
            match file.read_exact_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                Err(error) => Err(error),
                Ok(()) => Ok(repository.constants().chunk_id(buffer) == *id),
            }
        }
        Piece::Hole(len) => is_zero(file, offset, *len, buffer),
    }
}

/// Whether a range of a file reads as zeros. What is beyond the end is for the length to settle.
fn is_zero(file: &File, offset: u64, len: u64, buffer: &mut Vec<u8>) -> io::Result<bool> {
    const BLOCK: u64 = 1 << 20;
    for range in data_ranges_in(file, offset..offset.saturating_add(len)) {
        let range = range?;
        let mut at = range.start;
        while at < range.end {
            buffer.resize((range.end - at).min(BLOCK) as usize, 0);
            let read = file.read_at(buffer, at)?;
            if read == 0 {
                break;
            }
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += read as u64;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    fn entry(kind: FileKind, nlink: u64) -> Entry {
        Entry {
            path: b"f".to_vec(),
            kind,
            mode: 0,
            owner: Default::default(),
            mtime: Time { secs: 100, nanos: 5 },
            ctime: Time::default(),
            atime: None,
            inode: 0,
            nlink,
            size: 10,
            content: Default::default(),
            link_to: None,
            sparse: false,
            torn: false,
            inode_flags: 0,
            xattrs: Default::default(),
            device: None,
        }
    }

    fn found(kind: FileKind, nlink: u64, size: u64, secs: i64) -> Stat {
        let mtime = Time { secs, nanos: 5 };
        Stat {
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size,
            mtime,
            ctime: mtime,
            atime: mtime,
            inode: 1,
            nlink,
            dev: 1,
            rdev_major: 0,
            rdev_minor: 0,
            blocks: 8,
        }
    }

    #[test]
    fn modes_decide_about_what_is_there() {
        use FileKind::{Dir, File, Symlink};
        use Overwrite::{Always, IfChanged, IfNewer, Never};
        let same = found(File, 1, 10, 100);
        let older = found(File, 1, 10, 99);
        let newer = found(File, 1, 11, 101);
        let file = entry(File, 1);
        for (mode, stat, want) in [
            (Always, same, Verdict::Compare),
            (Always, newer, Verdict::Compare),
            (Always, found(Dir, 2, 0, 0), Verdict::Replace),
            (Always, found(Symlink, 1, 0, 0), Verdict::Replace),
            (IfChanged, same, Verdict::Same),
            (IfChanged, older, Verdict::Compare),
            (IfNewer, older, Verdict::Replace),
            (IfNewer, same, Verdict::Leave),
            (IfNewer, newer, Verdict::Leave),
            (Never, older, Verdict::Leave),
            (Never, found(Symlink, 1, 0, 0), Verdict::Leave),
        ] {
            assert_eq!(judge(mode, &file, &stat), want, "{mode:?} {stat:?}");
        }
    }

    /// Files of a hard-link farm share their bytes: writing in place would change all of them.
    #[test]
    fn files_with_other_names_are_not_written_into() {
        let shared = found(FileKind::File, 2, 10, 99);
        assert_eq!(judge(Overwrite::Always, &entry(FileKind::File, 1), &shared), Verdict::Replace);
        let own_group = found(FileKind::File, 2, 10, 100);
        let linked = entry(FileKind::File, 2);
        assert_eq!(judge(Overwrite::Always, &linked, &own_group), Verdict::Compare);
    }
}
