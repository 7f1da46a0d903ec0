//! Files that hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a new file that only its owner can read, and syncs it and its folder: it is there for
/// good when this returns. What could not be written wholly is removed again.
///
/// # Errors
/// The system's, also if the file exists.
pub fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    written.inspect_err(|_| _ = std::fs::remove_file(path))
}

/// Puts a file that only its owner can read in the place of the one there, if there is one, so
/// that at any time there is one of the two. Its folder is synced.
///
/// # Errors
/// The system's; the file of before is left then.
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{number}.new", std::process::id()));
    let new = path.with_file_name(name);
    create_private(&new, content)?;
    std::fs::rename(&new, path).inspect_err(|_| _ = std::fs::remove_file(&new))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
