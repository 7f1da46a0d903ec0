//! The backup pipeline: walk, compare with the parent, read, cut, hash, store, commit.
//!
//! ```text
//! walker threads -> emitter (compares with the parent, in path order) -> workers -> collector
//! ```
//! Each worker takes a batch of neighbouring files, or a slice of a large one, through all stages
//! with its own buffers and its own open segment. The collector puts entries back in order and
//! writes the manifest. A bounded window between emitter and collector bounds memory.
//!
//! Whatever ends a run early, everything stored until then is named in the index, so the next run
//! goes on from there. Only the snapshot record, written last, makes a backup.

mod collect;
mod content;
mod control;
mod emit;
mod file;
mod job;
mod options;
mod parent;
mod pipeline;
mod report;
mod run;
mod stream;
mod worker;

pub use options::{BackupOptions, StdinSource};
pub use report::{BackupReport, BackupStats};
pub use run::backup;

pub(crate) use run::recorded_excludes;
pub(crate) use stream::{Buffer, Cutter, StreamError};

#[cfg(test)]
mod tests;
