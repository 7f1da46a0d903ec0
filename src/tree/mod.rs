//! Read-only views of snapshots: the manifest, read page by page (SPEC.md, section 11), the content
//! of files, and how snapshots are named, searched, compared and written as archives.
//!
//! Not here: writing manifests (`archive`), live directories (`source`).

mod content;
mod diff;
mod entries;
mod find;
mod layout;
mod manifest;
mod reader;
mod select;
mod tarball;

pub use content::{Pieces, load_xattrs};
pub use diff::{DiffSide, DiffSummary, Difference, DifferenceKind, Fields, Tally, diff};
pub use entries::{Children, Entries};
pub use find::{FindQuery, Finder};
pub use layout::Gap;
pub use manifest::{Counts, Manifest};
pub use reader::{FileReader, Part};
pub use select::{SnapshotFilter, SnapshotName, clean_path, parse_path};
pub use tarball::{TarStats, write_tar};

#[cfg(test)]
mod testing;
