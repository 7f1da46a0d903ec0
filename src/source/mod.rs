//! A read-only view of live directory trees, in the order of the manifest.
//!
//! [`Walk`] gives every entry below the sources exactly once, sorted, with what the system says
//! about it, and what could not be looked at. It reads directories ahead on a few threads, and
//! its memory depends on the look-ahead and on the largest directory, not on the size of the tree.
//! Contents, link targets and attributes are read later, through [`WalkEntry`], and only for what
//! has changed.
//!
//! Not here: deciding what has changed and storing it (`archive`).

mod dir;
mod entry;
mod excludes;
mod folder;
mod list;
mod look;
mod names;
mod options;
mod roots;
mod rules;
mod unit;
mod walk;

#[cfg(test)]
mod tests;

pub use dir::DirHandle;
pub use entry::{Failure, FailureKind, Item, WalkEntry};
pub(crate) use excludes::Excludes;
pub use list::{SourceListKind, read_source_list};
pub use options::{FileId, STAGING_PREFIX, WalkOptions, is_staging_name};
pub use roots::SourcePath;
pub use walk::Walk;
