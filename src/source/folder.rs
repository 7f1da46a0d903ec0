//! Reading a directory: its names, less those that are left out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::fsmeta;

use super::dir::DirHandle;
use super::entry::{Failure, FailureKind, WalkEntry};
use super::names::{NameKind, Names};
use super::options::is_staging_name;
use super::roots::RootNode;
use super::rules::{IgnoreFile, Rules};
use super::unit::{Scratch, Step, Unit};

/// Entries that one unit looks at. Larger directories are cut, so that several threads share them
/// and nobody holds more than this much of what the system said about them.
const ENTRIES_PER_UNIT: usize = 512;

/// A directory to go into.
pub(super) struct Folder {
    pub(super) handle: Arc<DirHandle>,
    pub(super) path: Vec<u8>,
    /// The sources below it that were named themselves.
    pub(super) roots: Option<Arc<RootNode>>,
    /// Whether all that is in it is taken, or only what leads to `roots`.
    pub(super) full: bool,
    /// The file system to stay in.
    pub(super) dev: u64,
    /// What `.gitignore` files say, once it is read its own too.
    pub(super) ignore: Option<Arc<IgnoreFile>>,
}

/// The first steps of a walk: the root directory and what is below.
pub(super) fn first_steps(root: Arc<DirHandle>, roots: Arc<RootNode>) -> io::Result<Vec<Step>> {
    let stat = fsmeta::stat_fd(root.fd()?)?;
    let folder = Folder {
        handle: root.clone(),
        path: Vec::new(),
        full: roots.source,
        roots: (!roots.children.is_empty()).then_some(roots),
        dev: stat.dev,
        ignore: None,
    };
    let entry = WalkEntry { path: Vec::new(), stat, dir: root, name_start: 0, follow: false };
    Ok(vec![Step::Entry(entry, Some(Unit::list(folder)))])
}

impl Folder {
    /// The path of an entry, and where its name begins.
    pub(super) fn path_of(&self, name: &[u8]) -> (Vec<u8>, usize) {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        if !path.is_empty() {
            path.push(b'/');
        }
        let name_start = path.len();
        path.extend_from_slice(name);
        (path, name_start)
    }

    /// Reads the directory and, unless it is large, looks at its entries.
    pub(super) fn list(self: &Arc<Self>, rules: &Rules, scratch: &mut Scratch) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut folder = self.clone();
        let mut names = std::mem::take(&mut scratch.names);
        names.clear();
        for name in self.roots.iter().flat_map(|roots| roots.children.keys()) {
            names.push(name, NameKind::Rooted);
        }
        if self.full {
            match self.open(rules) {
                Ok(None) => {}
                Ok(Some(fd)) => {
                    self.read_names(&fd, scratch, &mut names, &mut steps);
                    if let Some(ignore) = self.apply_rules(rules, &fd, &mut names, &mut steps) {
                        folder = Arc::new(self.with_ignore(ignore));
                    }
                }
                Err(error) => steps.push(self.failed(error)),
            }
        }
        names.sort();
        if names.len() <= ENTRIES_PER_UNIT {
            let looked = folder.look(rules, &names, 0..names.len());
            scratch.names = names;
            if steps.is_empty() {
                return looked;
            }
            steps.extend(looked);
            return steps;
        }
        let names = Arc::new(names);
        for start in (0..names.len()).step_by(ENTRIES_PER_UNIT) {
            let range = start..names.len().min(start + ENTRIES_PER_UNIT);
            let (first, _) = self.path_of(names.get(start).0);
            steps.push(Step::More(Unit::look(&folder, &names, range, first)));
        }
        steps
    }

    /// Opens it, unless an automount has put another file system here that must not be entered.
    fn open(&self, rules: &Rules) -> io::Result<Option<Arc<OwnedFd>>> {
        let fd = self.handle.open_to_read()?;
        let foreign = rules.options.one_file_system && fsmeta::stat_fd(&fd)?.dev != self.dev;
        Ok((!foreign).then_some(fd))
    }

    /// Reads all names but those that are there already. If that ends early, what was read counts.
    fn read_names(
        &self,
        fd: &OwnedFd,
        scratch: &mut Scratch,
        names: &mut Names,
        steps: &mut Vec<Step>,
    ) {
        let roots = self.roots.as_ref();
        let result = fsmeta::read_dir_names(fd, &mut scratch.dir_buf, |name, is_dir| {
            if roots.is_none_or(|roots| !roots.children.contains_key(name)) {
                let kind = match is_dir {
                    Some(true) => NameKind::Dir,
                    Some(false) => NameKind::Other,
                    None => NameKind::Unknown,
                };
                names.push(name, kind);
            }
        });
        steps.extend(result.err().map(|error| self.failed(error)));
    }

    /// Drops the names that are left out whatever the system says about them. Returns the rules
    /// that hold below, if the directory changes them.
    fn apply_rules(
        &self,
        rules: &Rules,
        fd: &OwnedFd,
        names: &mut Names,
        steps: &mut Vec<Step>,
    ) -> Option<Arc<IgnoreFile>> {
        self.apply_markers(rules, fd, names, steps);
        let is_dir = |name: &[u8], kind| match kind {
            NameKind::Unknown => fsmeta::stat_at(fd, name).is_ok_and(|stat| stat.is_dir()),
            kind => kind == NameKind::Dir,
        };
        names.retain(|name, kind| {
            let is_staging = is_staging_name(name) && is_dir(name, kind);
            if is_staging {
                steps.push(self.staging(fd, name));
            }
            !is_staging
        });
        let mut own = None;
        if rules.options.git_ignore && names.contains(IgnoreFile::NAME) {
            let (file, problem) = match IgnoreFile::read(fd, &self.path, self.ignore.as_ref()) {
                Ok((file, problem)) => (Some(file), problem),
                Err(error) => (None, Some(error)),
            };
            own = file;
            steps.extend(problem.map(|error| self.rules_failed(IgnoreFile::NAME, error)));
        }
        let ignore = own.as_ref().or(self.ignore.as_ref());
        if ignore.is_none() && rules.excludes.is_empty() {
            return None;
        }
        let (mut path, name_start) = self.path_of(b"");
        names.retain(|name, kind| {
            path.truncate(name_start);
            path.extend_from_slice(name);
            !rules.exclude_path(ignore, &path, name, is_dir(name, kind))
        });
        own
    }

    /// Drops all names but those of valid markers, if there is one.
    fn apply_markers(&self, rules: &Rules, fd: &OwnedFd, names: &mut Names, steps: &mut Vec<Step>) {
        let mut valid = Vec::new();
        for marker in &rules.markers {
            if !names.contains(&marker.name) {
                continue;
            }
            match marker.is_valid(fd) {
                Ok(true) => valid.push(&marker.name[..]),
                Ok(false) => {}
                Err(error) => steps.push(self.rules_failed(&marker.name, error)),
            }
        }
        if !valid.is_empty() {
            names.retain(|name, _| valid.contains(&name));
        }
    }

    fn with_ignore(&self, ignore: Arc<IgnoreFile>) -> Self {
        Self {
            handle: self.handle.clone(),
            path: self.path.clone(),
            roots: self.roots.clone(),
            full: self.full,
            dev: self.dev,
            ignore: Some(ignore),
        }
    }

    /// Its content could not be read.
    pub(super) fn failed(&self, error: io::Error) -> Step {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FailureKind::Vanished,
            _ => FailureKind::Content,
        };
        Step::Failed(Failure { path: self.path.clone(), kind, error })
    }

    /// An in-place restore is at work here, or was killed.
    fn staging(&self, fd: &OwnedFd, name: &[u8]) -> Step {
        let uid = fsmeta::stat_at(fd, name).map(|stat| stat.uid).ok();
        let is_trusted = |uid| {
            uid == 0
                || uid == rustix::process::geteuid().as_raw()
                || fsmeta::stat_fd(fd).is_ok_and(|stat| stat.uid == uid)
        };
        let kind = match uid.is_none_or(is_trusted) {
            true => FailureKind::Staging,
            // Everybody can make such a folder in `/tmp`.
            false => FailureKind::ForeignStaging,
        };
        let (path, _) = self.path_of(name);
        let error = io::Error::other(format!(
            "an in-place restore is at work or was killed here, and the tree may be half changed: \
             if none is at work, run `larder rollback /{}`, then back up again",
            crate::model::escape_bytes(&self.path)
        ));
        Step::Failed(Failure { path, kind, error })
    }

    fn rules_failed(&self, name: &[u8], error: io::Error) -> Step {
        let (path, _) = self.path_of(name);
        Step::Failed(Failure { path, kind: FailureKind::Rules, error })
    }
}
