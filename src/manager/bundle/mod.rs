//! Bundles: some snapshots of a repository in one file, to carry away, and back in.
//!
//! A bundle is a repository of its own (SPEC.md, "Bundles"): encrypted with keys of its own,
//! deduplicated, and every command that only reads works on it. Its snapshots keep their ids, so
//! that whoever imports it sees what is there already, above all where the bundle comes from.
//!
//! Not here: archives for other programs, the layout of the file (`storage`).

mod export;
mod import;

use crate::codec::Compression;
use crate::fsmeta::{host_name, user_name};
use crate::repository::{Author, KdfCost};

pub use export::{BundleReport, export_bundle};
pub use import::{ImportedBundle, OpenBundle, import_bundle};

/// How snapshots go into a bundle or come out of one.
#[derive(Clone, Debug)]
pub struct BundleOptions {
    /// How hard to compress what is stored.
    pub compression: Compression,
    /// What a guess of the bundle's password costs.
    pub kdf: KdfCost,
    /// Whether a file that has the name of the new bundle may be replaced.
    pub replace: bool,
    /// Only find out what an import would bring.
    pub dry_run: bool,
    /// Whether an import goes on although records of the repository are hidden or unreadable.
    pub accept_history: bool,
    /// Who wants it.
    pub author: Author,
}

/// The user of this process on this machine, and nothing replaced.
impl Default for BundleOptions {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            kdf: KdfCost::default(),
            replace: false,
            dry_run: false,
            accept_history: false,
            author: Author { host: host_name(), user: user_name() },
        }
    }
}
