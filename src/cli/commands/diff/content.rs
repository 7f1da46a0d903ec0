//! The changed lines of two versions of a file, as `diff -u` prints them and as JSON.

use serde::Serialize;

use crate::cli::output::{Ink, Output, visible};
use crate::cli::select::shown_path;
use crate::error::{Error, Result};
use crate::model::{Entry, escape_bytes, format_bytes};
use crate::repository::Repository;
use crate::tree::{
    ContentDiff, Difference, DifferenceKind, Hunk, LineChange, Manifest, content_diff,
};

/// Compares contents.
pub(super) struct Contents<'r> {
    pub(super) repository: &'r Repository,
    pub(super) old: Manifest,
    pub(super) new: Manifest,
    /// Bytes of a file that are compared at most.
    pub(super) max_len: u64,
}

/// How the contents of a changed entry differ, or why that cannot be said.
pub(super) enum Compared {
    Differ(ContentDiff),
    Unreadable(String),
}

impl Contents<'_> {
    /// The changes in the content of an entry; `None` where its content did not change.
    ///
    /// # Errors
    /// Storage that cannot be reached. Damage is a result.
    pub(super) fn compare(&self, difference: &Difference<'_>) -> Result<Option<Compared>> {
        if matches!(difference.kind, DifferenceKind::Metadata | DifferenceKind::TypeChanged) {
            return Ok(None);
        }
        let old = difference.old.map(|entry| (&self.old, entry));
        let new = difference.new.map(|entry| (&self.new, entry));
        match content_diff(self.repository, old, new, self.max_len) {
            Ok(ContentDiff::NoContent) => Ok(None),
            Ok(found) => Ok(Some(Compared::Differ(found))),
            Err(error) if error.is_damage() => Ok(Some(Compared::Unreadable(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// Prints one line of the head of a patch. On a terminal the name is for people.
    fn print_name(
        &self,
        sign: &str,
        side: char,
        entry: Option<&Entry>,
        out: &Output,
    ) -> Result<()> {
        let name = match entry {
            Some(entry) => patch_name(side, &entry.path),
            None => b"/dev/null".to_vec(),
        };
        if out.to_terminal {
            let name = visible(name.strip_suffix(b"\t").unwrap_or(&name));
            return out.line(out.ink(Ink::Name, &format!("{sign}{name}")));
        }
        out.bytes(sign.as_bytes())?;
        out.bytes(&name)?;
        out.bytes(b"\n")
    }

    /// Prints what [`Contents::compare`] found.
    pub(super) fn print(
        &self,
        difference: &Difference<'_>,
        compared: &Compared,
        out: &Output,
    ) -> Result<()> {
        let name = |side: char, entry: Option<&Entry>| match entry {
            Some(entry) => format!("{side}{}", shown_path(&entry.path)),
            None => "/dev/null".to_owned(),
        };
        let (old, new) = (name('a', difference.old), name('b', difference.new));
        match compared {
            Compared::Differ(ContentDiff::Text(hunks)) if hunks.is_empty() => Ok(()),
            Compared::Differ(ContentDiff::Text(hunks)) => {
                self.print_name("--- ", 'a', difference.old, out)?;
                self.print_name("+++ ", 'b', difference.new, out)?;
                hunks.iter().try_for_each(|hunk| print_hunk(hunk, out))
            }
            Compared::Differ(ContentDiff::TooLarge) => out.line(format!(
                "Files {old} and {new} differ; one is larger than {} (`--content-max`)",
                format_bytes(self.max_len)
            )),
            Compared::Differ(_) => out.line(format!("Binary files {old} and {new} differ")),
            Compared::Unreadable(why) => {
                out.warn(&format!("{old} and {new} cannot be compared: {why}"));
                Ok(())
            }
        }
    }
}

/// A name in the head of a patch, as `patch` and `git apply` read it: as it is, with a tab behind it
/// if spaces are in it, since nothing else ends it; or in quotes like a string of C.
fn patch_name(side: char, path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let name = [&[side as u8, b'/'][..], path].concat();
    let needs_quotes = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'"' | b'\\');
    if !name.iter().any(needs_quotes) {
        let tab: &[u8] = if name.contains(&b' ') { b"\t" } else { b"" };
        return [&name, tab].concat();
    }
    let mut quoted = vec![b'"'];
    for byte in name {
        match byte {
            b'"' | b'\\' => quoted.extend_from_slice(&[b'\\', byte]),
            b'\n' => quoted.extend_from_slice(b"\\n"),
            b'\t' => quoted.extend_from_slice(b"\\t"),
            _ if byte.is_ascii_control() => {
                quoted.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    quoted
}

fn print_hunk(hunk: &Hunk, out: &Output) -> Result<()> {
    let range = |start: usize, lines: usize| match lines {
        1 => start.to_string(),
        _ => format!("{start},{lines}"),
    };
    let (old, new) = (range(hunk.old_start, hunk.old_lines), range(hunk.new_start, hunk.new_lines));
    out.line(out.ink(Ink::Place, &format!("@@ -{old} +{new} @@")))?;
    for line in &hunk.lines {
        let (sign, ink) = match line.change {
            LineChange::Kept => (' ', None),
            LineChange::Removed => ('-', Some(Ink::Removed)),
            LineChange::Added => ('+', Some(Ink::Added)),
        };
        let text = line.bytes.strip_suffix(b"\n");
        let bytes = text.unwrap_or(&line.bytes);
        if out.to_terminal {
            // What was backed up must not steer the terminal.
            let line = format!("{sign}{}", visible(bytes));
            out.line(ink.map_or_else(|| line.clone(), |ink| out.ink(ink, &line)))?;
        } else {
            out.bytes(&[sign as u8])?;
            out.bytes(bytes)?;
            out.bytes(b"\n")?;
        }
        if text.is_none() {
            out.line("\\ No newline at end of file")?;
        }
    }
    Ok(())
}

/// Changed content in JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum ContentJson<'c> {
    Text { hunks: Vec<HunkJson<'c>> },
    Binary,
    TooLarge { limit_bytes: u64 },
    Unreadable { message: &'c str },
}

#[derive(Serialize)]
pub(super) struct HunkJson<'c> {
    old_start: usize,
    old_lines: usize,
    new_start: usize,
    new_lines: usize,
    lines: Vec<LineJson<'c>>,
}

#[derive(Serialize)]
struct LineJson<'c> {
    change: &'static str,
    /// The line without its line feed, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'c str>,
    /// Else with `%XX` for what is not, and for `%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_escaped: Option<String>,
    /// Whether a line feed ends it.
    newline: bool,
}

impl<'c> ContentJson<'c> {
    pub(super) fn new(compared: &'c Compared, max_len: u64) -> Self {
        match compared {
            Compared::Differ(ContentDiff::Text(hunks)) => {
                Self::Text { hunks: hunks.iter().map(HunkJson::new).collect() }
            }
            Compared::Differ(ContentDiff::TooLarge) => Self::TooLarge { limit_bytes: max_len },
            Compared::Differ(_) => Self::Binary,
            Compared::Unreadable(message) => Self::Unreadable { message },
        }
    }
}

impl<'c> HunkJson<'c> {
    fn new(hunk: &'c Hunk) -> Self {
        let lines = hunk.lines.iter().map(|line| {
            let whole = line.bytes.strip_suffix(b"\n");
            let bytes = whole.unwrap_or(&line.bytes);
            let text = std::str::from_utf8(bytes).ok();
            LineJson {
                change: match line.change {
                    LineChange::Kept => "kept",
                    LineChange::Removed => "removed",
                    LineChange::Added => "added",
                },
                text,
                text_escaped: text.is_none().then(|| escape_bytes(bytes).into_owned()),
                newline: whole.is_some(),
            }
        });
        Self {
            old_start: hunk.old_start,
            old_lines: hunk.old_lines,
            new_start: hunk.new_start,
            new_lines: hunk.new_lines,
            lines: lines.collect(),
        }
    }
}

/// Refuses a path that was given twice.
pub(super) fn one_path(name: Option<Vec<u8>>, path: Option<&Vec<u8>>) -> Result<Vec<u8>> {
    match (name, path) {
        (Some(_), Some(_)) => Err(Error::usage_hint(
            "a path is given with a snapshot and beside both",
            "give one path for both (`larder diff A B PATH`), or one with each (`A:PATH B:PATH`)",
        )),
        (Some(path), None) => Ok(path),
        (None, path) => Ok(path.cloned().unwrap_or_default()),
    }
}
