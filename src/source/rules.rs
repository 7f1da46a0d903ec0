//! What a walk leaves out, and the files in the tree itself that have a say in that: cache tags,
//! marker files and `.gitignore`.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, Result};
use crate::fsmeta::{self, FileKind, Stat};

use super::excludes::Excludes;
use super::options::WalkOptions;

/// All that decides what a walk leaves out.
pub(super) struct Rules {
    pub(super) excludes: Excludes,
    pub(super) markers: Vec<Marker>,
    pub(super) options: WalkOptions,
}

impl Rules {
    /// Compiles the rules of `options`.
    ///
    /// # Errors
    /// [`Error::Usage`] for one that makes no sense, [`Error::Local`] for a file of patterns that
    /// cannot be read.
    pub(super) fn new(options: &WalkOptions) -> Result<Self> {
        Ok(Self {
            excludes: Excludes::new(options)?,
            markers: Marker::from_options(options)?,
            options: options.clone(),
        })
    }

    /// Whether patterns or `.gitignore` files leave out the entry with this path and name.
    pub(super) fn exclude_path(
        &self,
        ignore: Option<&Arc<IgnoreFile>>,
        path: &[u8],
        name: &[u8],
        is_dir: bool,
    ) -> bool {
        self.excludes.exclude(path, name, is_dir)
            || ignore.is_some_and(|ignore| ignore.ignores(path, is_dir))
    }

    /// Whether this is what is left out wherever it is met.
    pub(super) fn exclude_id(&self, stat: &Stat) -> bool {
        self.options.exclude_ids.iter().any(|id| id.inode == stat.inode && id.dev == stat.dev)
    }

    /// Whether size or flags leave out the entry `name` of the open directory `dir`.
    pub(super) fn exclude_stat(&self, stat: &Stat, dir: impl AsFd, name: &[u8]) -> bool {
        let too_large = || self.options.exclude_larger_than.is_some_and(|max| stat.size > max);
        let nodump = || fsmeta::has_nodump_at(dir, name).unwrap_or(false);
        match stat.kind {
            FileKind::File => too_large() || (self.options.exclude_nodump && nodump()),
            FileKind::Dir => self.options.exclude_nodump && nodump(),
            _ => false,
        }
    }
}

/// A file whose presence empties its folder for the walk.
pub(super) struct Marker {
    pub(super) name: Vec<u8>,
    /// What it has to begin with.
    header: Vec<u8>,
}

impl Marker {
    /// The markers that `options` ask for.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that no file can have.
    pub(super) fn from_options(options: &WalkOptions) -> Result<Vec<Self>> {
        let mut markers = Vec::new();
        if options.exclude_caches {
            // The Cache Directory Tagging Specification, <https://bford.info/cachedir/>.
            let header = b"Signature: 8a477f597d28d172789f06886806bc55".to_vec();
            markers.push(Self { name: b"CACHEDIR.TAG".to_vec(), header });
        }
        for given in &options.exclude_if_present {
            let (name, header) = given.split_once(':').unwrap_or((given, ""));
            if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
                return Err(Error::usage_hint(
                    format!("`{given}` names no file that could be present in a folder"),
                    "give `NAME` or `NAME:HEADER`, without a folder",
                ));
            }
            markers.push(Self { name: name.into(), header: header.into() });
        }
        Ok(markers)
    }

    /// Whether the file, which is there, begins as it has to.
    pub(super) fn is_valid(&self, dir: impl AsFd) -> io::Result<bool> {
        if self.header.is_empty() {
            return Ok(true);
        }
        let Some(begin) = read_begin(dir, &self.name, self.header.len())? else {
            return Ok(false);
        };
        Ok(begin == self.header)
    }
}

/// The rules of one `.gitignore`, and of those in the folders above.
pub(super) struct IgnoreFile {
    above: Option<Arc<IgnoreFile>>,
    /// Length of the path of its folder with the `/` after it: its rules count from there.
    base_len: usize,
    rules: Gitignore,
}

/// More than any such file has; one in the tree must not exhaust the memory.
const IGNORE_FILE_BYTES_MAX: usize = 4 << 20;

impl IgnoreFile {
    pub(super) const NAME: &'static [u8] = b".gitignore";

    /// Reads the file in the open folder `dir`, whose path is `dir_path`. Returns too what is
    /// wrong with lines that were skipped.
    ///
    /// # Errors
    /// What the system says; `InvalidData` if the rules do not compile.
    pub(super) fn read(
        dir: impl AsFd,
        dir_path: &[u8],
        above: Option<&Arc<Self>>,
    ) -> io::Result<(Arc<Self>, Option<io::Error>)> {
        let text = read_begin(dir, Self::NAME, IGNORE_FILE_BYTES_MAX)?.unwrap_or_default();
        if text.len() == IGNORE_FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 4 MiB of rules"));
        }
        let mut builder = GitignoreBuilder::new("");
        let mut skipped = None;
        for line in String::from_utf8_lossy(&text).lines() {
            if let Err(error) = builder.add_line(None, line) {
                skipped = Some(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        let rules =
            builder.build().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let base_len = if dir_path.is_empty() { 0 } else { dir_path.len() + 1 };
        Ok((Arc::new(Self { above: above.cloned(), base_len, rules }), skipped))
    }

    /// Whether the entry with this manifest path is ignored: the nearest file that says anything
    /// decides.
    pub(super) fn ignores(&self, path: &[u8], is_dir: bool) -> bool {
        let mut file = Some(self);
        while let Some(rules) = file {
            let relative = Path::new(OsStr::from_bytes(&path[rules.base_len..]));
            match rules.rules.matched(relative, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => file = rules.above.as_deref(),
            }
        }
        false
    }
}

/// The first bytes of a regular file, `None` if it is something else.
fn read_begin(dir: impl AsFd, name: &[u8], len: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match fsmeta::open_file_at(dir, name) {
        Ok(file) => file,
        // A symbolic link, which is not followed.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if fsmeta::stat_fd(&file)?.kind != FileKind::File {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(len as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
