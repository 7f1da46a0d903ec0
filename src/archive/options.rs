//! What a backup run takes.

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::codec::Compression;
use crate::model::BackupStrategy;
use crate::source::{SourcePath, WalkOptions};

/// How one backup run behaves. `Default` is what the command line does with no flags.
#[derive(Clone, Debug, Default)]
pub struct BackupOptions {
    /// The id of the run and its snapshot, drawn before; `None` draws one.
    pub id: Option<crate::model::BackupId>,
    /// What to back up. Empty if it comes from `stdin`.
    pub sources: Vec<SourcePath>,
    /// What to leave out.
    pub walk: WalkOptions,
    /// One file whose content is read from a stream, in place of sources.
    pub stdin: Option<Arc<StdinSource>>,
    /// What the run is compared with.
    pub strategy: BackupStrategy,
    /// Labels.
    pub tags: Vec<String>,
    /// A text.
    pub description: String,
    /// The host's name in the snapshot; `None` takes the system's.
    pub host: Option<String>,
    /// The user's name in the snapshot; `None` takes the system's.
    pub user: Option<String>,
    /// How hard new data is compressed.
    pub compression: Compression,
    /// Bytes of a pack; `None` takes the repository's.
    pub pack_target: Option<u64>,
    /// Whether access times are kept. They change every page that was read.
    pub with_atime: bool,
    /// A file with another change time but the same rest counts as unchanged.
    pub ignore_ctime: bool,
    /// A file with another inode but the same rest counts as unchanged.
    pub ignore_inode: bool,
    /// Look at everything, store nothing.
    pub dry_run: bool,
    /// Files read at the same time; `None` picks from the number of CPUs.
    pub readers: Option<NonZeroUsize>,
}

/// A stream that becomes a file.
pub struct StdinSource {
    /// Its path in the snapshot, as [`SourcePath::manifest_path`].
    pub name: Vec<u8>,
    /// Where its bytes come from.
    pub reader: Mutex<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for StdinSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StdinSource({})", crate::model::escape_bytes(&self.name))
    }
}
