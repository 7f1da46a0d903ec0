//! Snapshots from inside: the manifest, read and written page by page (SPEC.md, section 11), the
//! content of files, and how snapshots are named, searched, compared and written as archives.
//!
//! Not here: cutting files (`archive`), live directories (`source`).

mod archived;
mod content;
mod diff;
mod entries;
mod find;
mod history;
mod ids;
mod layout;
mod manifest;
mod numbered;
mod pages;
mod reader;
mod roots;
mod select;
mod tarball;
mod text;
mod write;
mod zip;

pub use content::{Pieces, load_xattrs};
pub use diff::{DiffSide, DiffSummary, Difference, DifferenceKind, Fields, Tally, diff};
pub use entries::{Children, Entries, LostPages};
pub use find::{FindQuery, Finder};
pub use history::{
    Gap as HistoryGap, GapReason, PathHistory, SeenIn, SeriesHistory, Version, VersionChange,
    history,
};
pub use ids::{IdKind, SeenPages, each_id};
pub use layout::Gap;
pub(crate) use layout::Layout;
pub use manifest::{Counts, Manifest};
pub use numbered::{NumberedEntries, NumberedEntry, PageSource};
pub use pages::PageCache;
pub use reader::{FileReader, Part};
pub use roots::{path_missing, roots, shown_path, shown_root, shown_roots};
pub use select::{SnapshotFilter, SnapshotName, clean_path, parse_path};
pub use tarball::{TarStats, write_tar};
pub use text::{ContentDiff, Hunk, LineChange, TextLine, content_diff};
pub use write::{
    Derivation, Derived, Lost, ManifestRoot, ManifestWriter, PagesTo, Verdict, WouldAdd, derive,
};
pub use zip::{ZipOptions, ZipStats, write_zip};

pub(crate) use roots::ARCHIVE as ARCHIVE_ROOT;
pub(crate) use write::{FileSize, ListWriter, Sink, content_of};

#[cfg(test)]
pub(crate) mod testing;
