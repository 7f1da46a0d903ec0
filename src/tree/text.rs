//! What changed in a text: the lines of two versions of a file, compared.

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use super::{FileReader, Manifest};
use crate::error::Result;
use crate::model::{Content, Entry, FileKind};
use crate::repository::Repository;

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 3;

/// A file of more lines is not compared: each takes memory beside its bytes.
const LINES_MAX: usize = 1 << 20;

/// After this long a comparison takes the first answer instead of the shortest: no text made for
/// it may keep the machine busy for hours.
const TIME_MAX: Duration = Duration::from_secs(3);

/// How the contents of two entries differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentDiff {
    /// In these lines.
    Text(Vec<Hunk>),
    /// At least one of them is no text: it has zero bytes.
    Binary,
    /// At least one of them is longer than the limit, or has more than a million lines.
    TooLarge,
    /// They are no files or links.
    NoContent,
}

/// A change with the lines around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// The first line in the old text, counted from 1; if there is none, the line before.
    pub old_start: usize,
    /// How many lines there are in the old text.
    pub old_lines: usize,
    /// The first line in the new text, counted from 1; if there is none, the line before.
    pub new_start: usize,
    /// How many lines there are in the new text.
    pub new_lines: usize,
    /// The lines, in order.
    pub lines: Vec<TextLine>,
}

/// A line and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLine {
    /// What happened.
    pub change: LineChange,
    /// Its bytes, with the line feed at its end, if it has one: only a last line may have none.
    pub bytes: Vec<u8>,
}

/// What happened to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineChange {
    /// Nothing: both have it.
    Kept,
    /// Only the old text has it.
    Removed,
    /// Only the new text has it.
    Added,
}

/// Compares two files, or the targets of two links, line by line. `None` stands for an entry that
/// is not there, and counts as empty. No more than `max_len` bytes of each are read.
///
/// # Errors
/// What reading the contents fails with.
pub fn content_diff(
    repository: &Repository,
    old: Option<(&Manifest, &Entry)>,
    new: Option<(&Manifest, &Entry)>,
    max_len: u64,
) -> Result<ContentDiff> {
    let mut texts = [Vec::new(), Vec::new()];
    for (side, text) in [old, new].into_iter().zip(&mut texts) {
        let Some((manifest, entry)) = side else { continue };
        match (entry.kind, &entry.content) {
            (FileKind::File, _) => {
                let mut file = FileReader::open(repository, manifest, entry)?;
                if file.size() > max_len {
                    return Ok(ContentDiff::TooLarge);
                }
                file.copy_to(text)?;
            }
            (FileKind::Symlink, Content::Inline(target)) => text.clone_from(target),
            _ => return Ok(ContentDiff::NoContent),
        }
    }
    Ok(compare(&texts[0], &texts[1]))
}

fn compare(old: &[u8], new: &[u8]) -> ContentDiff {
    if old.contains(&0) || new.contains(&0) {
        return ContentDiff::Binary;
    }
    let lines = |text| -> Option<Vec<&[u8]>> {
        let lines: Vec<&[u8]> =
            <[u8]>::split_inclusive(text, |byte| *byte == b'\n').take(LINES_MAX + 1).collect();
        (lines.len() <= LINES_MAX).then_some(lines)
    };
    let (Some(old), Some(new)) = (lines(old), lines(new)) else { return ContentDiff::TooLarge };
    let deadline = Some(Instant::now() + TIME_MAX);
    let changes = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    let hunks = group_diff_ops(changes, CONTEXT_LINES).into_iter().map(|group| {
        let parts: Vec<_> = group.iter().map(|change| change.as_tag_tuple()).collect();
        let mut lines = Vec::new();
        let mut add = |change, some: &[&[u8]]| {
            lines.extend(some.iter().map(|line| TextLine { change, bytes: line.to_vec() }));
        };
        let (mut old_lines, mut new_lines) = (0, 0);
        for (tag, old_range, new_range) in parts.iter().cloned() {
            old_lines += old_range.len();
            new_lines += new_range.len();
            if tag == DiffTag::Equal {
                add(LineChange::Kept, &old[old_range]);
            } else {
                add(LineChange::Removed, &old[old_range]);
                add(LineChange::Added, &new[new_range]);
            }
        }
        let (old_at, new_at) = parts.first().map_or((0, 0), |(_, old, new)| (old.start, new.start));
        Hunk {
            old_start: old_at + usize::from(old_lines > 0),
            old_lines,
            new_start: new_at + usize::from(new_lines > 0),
            new_lines,
            lines,
        }
    });
    ContentDiff::Text(hunks.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hunks(old: &[u8], new: &[u8]) -> Vec<Hunk> {
        match compare(old, new) {
            ContentDiff::Text(hunks) => hunks,
            other => panic!("{other:?}"),
        }
    }

    /// What `patch` would make of the old text.
    fn patched(old: &[u8], hunks: &[Hunk]) -> Vec<u8> {
        let old: Vec<&[u8]> = old.split_inclusive(|byte| *byte == b'\n').collect();
        let (mut at, mut new) = (0, Vec::new());
        for hunk in hunks {
            let start = hunk.old_start - usize::from(hunk.old_lines > 0);
            new.extend(old[at..start].concat());
            at = start + hunk.old_lines;
            assert_eq!(
                new.split_inclusive(|byte| *byte == b'\n').count()
                    + usize::from(hunk.new_lines > 0),
                hunk.new_start
            );
            for line in &hunk.lines {
                if line.change != LineChange::Removed {
                    new.extend(&line.bytes);
                }
            }
            let count = |other| hunk.lines.iter().filter(|line| line.change != other).count();
            assert_eq!(count(LineChange::Added), hunk.old_lines);
            assert_eq!(count(LineChange::Removed), hunk.new_lines);
        }
        new.extend(old[at..].concat());
        new
    }

    #[test]
    fn texts_are_compared_line_by_line() {
        let found = hunks(b"a\nb\nc\n", b"a\nB\nc\nd");
        assert_eq!(found.len(), 1);
        let hunk = &found[0];
        assert_eq!((hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines), (1, 3, 1, 4));
        let texts: Vec<_> = hunk.lines.iter().map(|line| (line.change, &line.bytes[..])).collect();
        use LineChange::{Added, Kept, Removed};
        let want: [(LineChange, &[u8]); 5] =
            [(Kept, b"a\n"), (Removed, b"b\n"), (Added, b"B\n"), (Kept, b"c\n"), (Added, b"d")];
        assert_eq!(texts, want);
        assert_eq!(hunks(b"same\n", b"same\n"), []);
        assert_eq!(hunks(b"", b"new\n")[0].old_start, 0);
    }

    #[test]
    fn what_is_no_text_is_not_compared() {
        assert_eq!(compare(b"a\0b", b"text"), ContentDiff::Binary);
        assert_eq!(compare(b"", &vec![b'\n'; LINES_MAX + 1]), ContentDiff::TooLarge);
    }

    proptest! {
        #[test]
        fn the_new_text_can_be_made_of_the_old_one(
            old in proptest::collection::vec(prop::sample::select(&b"ab\n\n"[..]), 0..120),
            new in proptest::collection::vec(prop::sample::select(&b"ab\n\n"[..]), 0..120),
        ) {
            prop_assert_eq!(patched(&old, &hunks(&old, &new)), new);
        }
    }
}
