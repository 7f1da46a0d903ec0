//! What a walk takes and what it leaves out.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a walk leaves out, and how it is done. `Default` takes everything.
///
/// Patterns, one per string, are those of [`exclude`](Self::exclude). Of all patterns that fit an
/// entry the last one decides; those of files count as given after the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalkOptions {
    /// Patterns of what to leave out.
    ///
    /// * `*.o` (no `/`) fits that name in every folder;
    /// * `/home/*/tmp` fits the whole path, `target/debug` (a `/` inside) its last components;
    /// * `*`, `?` (one byte) and `[a-z]` never cross a `/`, `**` stands for any number of
    ///   components, `{a,b}` for either, `\` takes the next character as it is;
    /// * with a `/` at the end only folders fit;
    /// * with a `!` in front what fits is taken after all, unless a folder above it is left out:
    ///   what is in a folder that fits is not even looked at.
    pub exclude: Vec<String>,
    /// The same, upper and lower case being equal.
    pub iexclude: Vec<String>,
    /// Files of patterns, one a line; empty lines and those that begin with `#` say nothing.
    pub exclude_file: Vec<PathBuf>,
    /// The same, upper and lower case being equal.
    pub iexclude_file: Vec<PathBuf>,
    /// Leave out what is in folders that hold a valid `CACHEDIR.TAG` (the tag itself is taken).
    pub exclude_caches: bool,
    /// Leave out what is in folders that hold a file of this name (that file is taken). With
    /// `NAME:HEADER` only if the file begins with `HEADER`.
    pub exclude_if_present: Vec<String>,
    /// Leave out regular files of more bytes than this.
    pub exclude_larger_than: Option<u64>,
    /// Leave out files and folders with the `nodump` flag (`chattr +d`).
    pub exclude_nodump: bool,
    /// Leave out what `.gitignore` files in the walked folders say.
    pub git_ignore: bool,
    /// Stay in the file systems of the sources; a mount point is taken as an empty folder.
    pub one_file_system: bool,
    /// Leave out these files and folders, wherever they are met: the repository itself.
    pub exclude_ids: Vec<FileId>,
    /// Threads that read folders ahead; `None` picks from the number of CPUs, 0 has everything
    /// done by the thread that asks.
    pub threads: Option<usize>,
    /// Entries read ahead at most; `None` picks.
    pub look_ahead: Option<NonZeroUsize>,
}

/// Identifies a file or folder whatever path leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The file system (`st_dev`).
    pub dev: u64,
    /// The inode in it.
    pub inode: u64,
}

/// How the names of the folders begin that an in-place restore works with; random hex digits
/// follow. They are no part of the tree: no walk enters them.
pub const STAGING_PREFIX: &str = ".larder-in-place-";

/// Whether a folder of this name is what an in-place restore works with.
pub fn is_staging_name(name: &[u8]) -> bool {
    name.strip_prefix(STAGING_PREFIX.as_bytes())
        .is_some_and(|id| !id.is_empty() && id.iter().all(u8::is_ascii_hexdigit))
}
