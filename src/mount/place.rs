//! The folder that snapshots are shown in: whether it will do, and what is there already.

use std::io;
use std::path::{Path, PathBuf};

use super::unmount::clear_dead;
use crate::error::{Error, Result};

/// A folder that can be mounted on.
#[derive(Debug)]
pub(super) struct Place {
    /// Its path without links and `..`.
    pub(super) folder: PathBuf,
    /// A mount whose program had been killed was in the way, and is gone.
    pub(super) was_dead: bool,
}

impl Place {
    /// Looks at `folder`, and clears away a dead mount. `taken` are folders that no mount may be
    /// in: the repository would look into itself.
    ///
    /// # Errors
    /// [`Error::Usage`] that says what to do if nothing can be mounted there, [`Error::Local`] if
    /// it cannot be looked at.
    pub(super) fn prepare(folder: &Path, taken: &[PathBuf]) -> Result<Self> {
        let mut was_dead = false;
        if std::fs::metadata(folder).is_err_and(|error| is_dead(&error)) {
            clear(folder)?;
            was_dead = true;
        }
        let found = std::fs::metadata(folder).map_err(|error| missing(folder, error))?;
        let shown = folder.display();
        if !found.is_dir() {
            return Err(Error::usage_hint(
                format!("`{shown}` is not a folder"),
                "give an empty folder to mount on",
            ));
        }
        let failed = |error| Error::local("look into", folder, error);
        let folder = folder.canonicalize().map_err(failed)?;
        if is_mounted(&folder) {
            return Err(Error::usage_hint(
                format!("snapshots are mounted on `{shown}` already"),
                format!("end that with `umount {shown}` or `fusermount3 -u {shown}`"),
            ));
        }
        if let Some(by) = taken.iter().find(|by| is_in(&folder, by)) {
            return Err(Error::usage_hint(
                format!("`{shown}` is in `{}`, which this program writes to", by.display()),
                "mount on an empty folder somewhere else",
            ));
        }
        if std::fs::read_dir(&folder).map_err(failed)?.next().is_some() {
            return Err(Error::usage_hint(
                format!("`{shown}` is not empty"),
                "mount on an empty folder: what is in this one would be hidden",
            ));
        }
        Ok(Self { folder, was_dead })
    }
}

/// Clears away a dead mount of ours.
fn clear(folder: &Path) -> Result<()> {
    let failed = |error| Error::local("clear the dead mount at", folder, error);
    let real = without_links(folder).map_err(failed)?;
    if cfg!(target_os = "linux") && !is_mounted(&real) {
        let shown = folder.display();
        return Err(Error::usage_hint(
            format!("another program's dead mount is on `{shown}`"),
            format!("take it away with `umount {shown}` or `fusermount3 -u {shown}`"),
        ));
    }
    clear_dead(&real).map_err(failed)
}

/// Where a path leads that ends at a dead mount, which cannot be asked itself.
fn without_links(folder: &Path) -> io::Result<PathBuf> {
    const LINKS_MAX: usize = 40;
    let mut path = std::path::absolute(folder)?;
    for _ in 0..LINKS_MAX {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => Ok(path),
    }
}

/// The kernel's answer where the program that serves a mount is gone.
fn is_dead(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error())
}

fn missing(folder: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        let shown = folder.display();
        return Error::usage_hint(
            format!("there is no folder `{shown}`"),
            format!("make it with `mkdir {shown}`"),
        );
    }
    Error::local("look at", folder, error)
}

fn is_in(folder: &Path, other: &Path) -> bool {
    other.canonicalize().is_ok_and(|other| folder.starts_with(other))
}

/// Whether one of our mounts is there, as far as the system tells.
fn is_mounted(folder: &Path) -> bool {
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else { return false };
    mounts.split(|byte| *byte == b'\n').any(|line| is_ours_at(line, folder))
}

/// Whether a line of `mountinfo` tells of a mount of ours on `folder`.
fn is_ours_at(line: &[u8], folder: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let source = words.iter().position(|word| *word == b"-").and_then(|at| words.get(at + 2));
    words.get(4).is_some_and(|at| unescaped(at) == folder.as_os_str().as_bytes())
        && source.is_some_and(|source| source.starts_with(super::SOURCE.as_bytes()))
}

/// Undoes `\040` and its like.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| *byte == b'\\') {
            Some(meant) => {
                plain.push(meant);
                rest = &after[3..];
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_folder_outside_will_do() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir_all(path("repository/data")).unwrap();
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::write(path("file"), "x").unwrap();
        let taken = [path("repository")];

        let place = Place::prepare(&path("empty"), &taken).unwrap();
        assert!(!place.was_dead);
        for (name, reason) in [
            ("missing", "no folder"),
            ("file", "not a folder"),
            ("repository/data", "writes to"),
            ("repository", "writes to"),
            ("", "not empty"),
        ] {
            let error = Place::prepare(&path(name), &taken).unwrap_err();
            assert!(error.to_string().contains(reason), "{name}: {error}");
            assert!(error.hint().is_some(), "{name}");
            assert_eq!(error.exit_code(), 2, "{name}");
        }
    }

    #[test]
    fn our_mounts_are_known_by_their_source() {
        let line = b"98 26 0:48 / /mnt/a\\040b ro,nosuid - fuse larder:/repo ro,user_id=0";
        assert!(is_ours_at(line, Path::new("/mnt/a b")));
        assert!(!is_ours_at(line, Path::new("/mnt/a")));
        let other = b"98 26 0:48 / /mnt/a rw - fuse.sshfs host: rw";
        assert!(!is_ours_at(other, Path::new("/mnt/a")));
    }
}
