//! What is in the target and is not what the snapshot has, and what a person says to that.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{FileKind, Time};

/// An entry of the snapshot whose name is taken in the target by something else: another kind of
/// entry, or other content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The path in the snapshot, raw bytes, without `/` in front.
    pub path: Vec<u8>,
    /// What is there.
    pub found: ConflictSide,
    /// What the snapshot has.
    pub stored: ConflictSide,
}

/// One side of a [`Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictSide {
    /// Which kind of entry it is.
    pub kind: FileKind,
    /// Bytes, of a file.
    pub size: u64,
    /// When it was last modified.
    pub mtime: Time,
}

/// What becomes of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The snapshot's takes its place.
    Overwrite,
    /// What is there stays, and the snapshot's is not restored.
    Skip,
    /// What is there stays, and the snapshot's is restored beside it under another name.
    KeepBoth,
}

/// Who decides about conflicts. Asked from one thread at a time, in the order of the manifest; an
/// error ends the restore.
#[derive(Clone)]
pub struct Asker(Arc<AskerFn>);

type AskerFn = dyn Fn(&Conflict) -> Result<Resolution> + Send + Sync;

impl Asker {
    /// Asks `decide`.
    pub fn new(decide: impl Fn(&Conflict) -> Result<Resolution> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// What becomes of `conflict`.
    ///
    /// # Errors
    /// Whatever ends the restore, such as [`Error::Cancelled`](crate::error::Error::Cancelled).
    pub fn ask(&self, conflict: &Conflict) -> Result<Resolution> {
        (self.0)(conflict)
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker(..)")
    }
}

/// Equal if both are clones of one.
impl PartialEq for Asker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Asker {}
