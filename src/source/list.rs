//! Reads lists of sources from files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

use super::excludes::glob;
use super::roots::SourcePath;

/// How a list of sources is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceListKind {
    /// One pattern a line (`*`, `?`, `[a-z]`, `{a,b}` within a component); spaces around it, empty
    /// lines and those that begin with `#` say nothing.
    Patterns,
    /// One path a line, as it is; empty lines say nothing.
    Verbatim,
    /// Paths with a NUL after each, as `find -print0` writes them.
    Raw,
}

/// Reads the sources that a list names; relative ones begin at the folder `base`.
///
/// # Errors
/// [`Error::Usage`] for a pattern that is wrong, [`Error::Local`] for a folder that cannot be
/// searched for it. A pattern that fits nothing stands for itself, so that the walk reports it as
/// a missing source instead of leaving something out silently.
pub fn read_source_list(list: &[u8], kind: SourceListKind, base: &Path) -> Result<Vec<SourcePath>> {
    let separator = if kind == SourceListKind::Raw { 0 } else { b'\n' };
    let mut sources = Vec::new();
    for line in list.split(|byte| *byte == separator) {
        match kind {
            SourceListKind::Raw | SourceListKind::Verbatim => {
                let line = match kind {
                    SourceListKind::Verbatim => line.strip_suffix(b"\r").unwrap_or(line),
                    _ => line,
                };
                if !line.is_empty() {
                    sources
                        .push(SourcePath::relative_to(Path::new(OsStr::from_bytes(line)), base)?);
                }
            }
            SourceListKind::Patterns => {
                let line = line.trim_ascii();
                if !line.is_empty() && !line.starts_with(b"#") {
                    for path in expand(line, base)? {
                        sources.push(SourcePath::relative_to(&path, base)?);
                    }
                }
            }
        }
    }
    Ok(sources)
}

/// The paths that a pattern fits. Without a special character that is the path itself, there or
/// not.
fn expand(pattern: &[u8], base: &Path) -> Result<Vec<PathBuf>> {
    let as_path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    if !pattern.iter().any(|byte| is_special(*byte)) {
        return Ok(vec![as_path(pattern)]);
    }
    let shown = || String::from_utf8_lossy(pattern).into_owned();
    let start = if pattern.starts_with(b"/") { PathBuf::from("/") } else { base.to_path_buf() };
    let mut found = vec![start];
    for component in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        if !component.iter().any(|byte| is_special(*byte)) {
            found.iter_mut().for_each(|path| path.push(OsStr::from_bytes(component)));
            continue;
        }
        let text = std::str::from_utf8(component).map_err(|_| {
            Error::usage(format!("`{}` is no pattern of sources: it is not UTF-8", shown()))
        })?;
        let matcher = glob(text)
            .map_err(|why| Error::usage(format!("`{}` is no pattern of sources: {why}", shown())))?
            .compile_matcher();
        // As in a shell, hidden files have to be asked for.
        let hidden = text.starts_with('.');
        let mut next = Vec::new();
        for dir in found {
            let entries = match std::fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if is_nothing(&error) => continue,
                Err(error) => return Err(Error::local("read", dir, error)),
            };
            for entry in entries {
                let name = entry.map_err(|error| Error::local("read", &dir, error))?.file_name();
                let wanted = hidden || !name.as_bytes().starts_with(b".");
                if wanted && matcher.is_match(&name) {
                    next.push(dir.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| !matches!(path.symlink_metadata(), Err(error) if is_nothing(&error)));
    if found.is_empty() {
        return Ok(vec![as_path(pattern)]);
    }
    if pattern.ends_with(b"/") {
        found.iter_mut().for_each(|path| path.push(""));
    }
    found.sort();
    Ok(found)
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'{' | b'\\')
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
