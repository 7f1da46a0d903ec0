//! What an in-place restore and a rollback take, as plain data.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::restore::{Asker, Overwrite, OwnerPolicy, SparsePolicy};

/// How one in-place restore behaves. `Default` is what the command line does with no flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InPlaceOptions {
    /// The folder that stands for the root of the snapshot's paths: `/`, or where another system's
    /// root is mounted. Must exist. Symbolic links on the way to it are followed, those in it never.
    pub target: PathBuf,
    /// A path in the snapshot, raw bytes: only this, and what is in it, is restored, at its place.
    pub subtree: Option<Vec<u8>>,
    /// Restore only what fits one of these patterns, or lies in a folder that does; as
    /// [`RestoreOptions::include`](crate::restore::RestoreOptions::include).
    pub include: Vec<String>,
    /// The same, upper and lower case being equal.
    pub iinclude: Vec<String>,
    /// Leave out what fits one of these patterns.
    pub exclude: Vec<String>,
    /// The same, upper and lower case being equal.
    pub iexclude: Vec<String>,
    /// Restore only the entries with these paths in the snapshot, raw bytes, and what is in them,
    /// beside what the patterns to include choose.
    pub paths: Vec<Vec<u8>>,
    /// What happens to what is there and not as in the snapshot.
    pub overwrite: Overwrite,
    /// Who decides about conflicts, for [`Overwrite::Ask`]: asked while the plan is made.
    #[serde(skip)]
    pub ask: Option<Asker>,
    /// Remove what is in restored folders and not in the snapshot, as
    /// [`RestoreOptions::delete`](crate::restore::RestoreOptions::delete) does.
    pub delete: bool,
    /// Change nothing; say what would be done.
    pub dry_run: bool,
    /// Read everything that is new again, and compare it, before anything is exchanged.
    pub verify: bool,
    /// Start even if a file system seems to have too little room for what is staged.
    pub ignore_room: bool,
    /// What becomes of zeros.
    pub sparse: SparsePolicy,
    /// Who owns what is restored.
    pub owner: OwnerPolicy,
    /// Threads that write files; `None` picks.
    pub threads: Option<NonZeroUsize>,
    /// The folder of what this machine remembers: unfinished restores are found through it.
    /// Without one they are found by the name of their staging folders alone.
    pub state_dir: Option<PathBuf>,
    /// Told of every step, and able to make it fail: for tests.
    #[doc(hidden)]
    #[serde(skip)]
    pub hook: Option<Hook>,
}

impl Default for InPlaceOptions {
    fn default() -> Self {
        Self {
            target: PathBuf::from("/"),
            subtree: None,
            include: Vec::new(),
            iinclude: Vec::new(),
            exclude: Vec::new(),
            iexclude: Vec::new(),
            paths: Vec::new(),
            overwrite: Overwrite::default(),
            ask: None,
            delete: false,
            dry_run: false,
            verify: false,
            ignore_room: false,
            sparse: SparsePolicy::default(),
            owner: OwnerPolicy::default(),
            threads: None,
            state_dir: None,
            hook: None,
        }
    }
}

/// How a rollback behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollbackOptions {
    /// The folder of what this machine remembers, as it was given to the restore.
    pub state_dir: Option<PathBuf>,
    /// Change nothing; say what is unfinished.
    pub dry_run: bool,
    /// Told of every step, and able to make it fail: for tests.
    #[doc(hidden)]
    pub hook: Option<Hook>,
}

/// Called before and after every step that changes something, with what it is and how many were
/// before. An error is taken for one of the system's.
#[doc(hidden)]
#[derive(Clone)]
pub struct Hook(Arc<HookFn>);

type HookFn = dyn Fn(&str, u64) -> io::Result<()> + Send + Sync;

impl Hook {
    /// Calls `told`.
    pub fn new(told: impl Fn(&str, u64) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(super) fn call(&self, step: &str, number: u64) -> io::Result<()> {
        (self.0)(step, number)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(..)")
    }
}

/// Equal if both are clones of one.
impl PartialEq for Hook {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Hook {}

/// Counts steps and tells the hook of them.
#[derive(Debug, Default)]
pub(super) struct Steps {
    hook: Option<Hook>,
    number: std::cell::Cell<u64>,
}

impl Steps {
    pub(super) fn new(hook: Option<&Hook>) -> Self {
        Self { hook: hook.cloned(), number: std::cell::Cell::new(0) }
    }

    /// A step is about to be taken, or was.
    ///
    /// # Errors
    /// What the hook says.
    pub(super) fn at(&self, step: &str) -> io::Result<()> {
        let Some(hook) = &self.hook else { return Ok(()) };
        let number = self.number.get();
        self.number.set(number + 1);
        hook.call(step, number)
    }
}
