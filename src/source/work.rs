//! The work of a walk, in units that any thread can do: reading a directory, and looking at a
//! number of its entries.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::fsmeta::{self, FileKind, Stat};

use super::dir::DirHandle;
use super::entry::{Failure, FailureKind, WalkEntry};
use super::excludes::Excludes;
use super::options::WalkOptions;
use super::roots::RootNode;
use super::rules::{IgnoreFile, Marker};

/// Entries that one unit looks at; larger directories are cut, so that several threads share them
/// and nobody holds more than this much of what the system said about them.
const ENTRIES_PER_UNIT: usize = 512;

/// A step of the walk as the units make it.
pub(super) enum Step {
    /// An entry, and the unit that reads it if it is a directory to go into.
    Entry(WalkEntry, Option<Arc<Unit>>),
    Failed(Failure),
    /// The steps of this unit come here.
    More(Arc<Unit>),
}

/// A piece of work, done once.
pub(super) struct Unit {
    job: Job,
    phase: Mutex<Phase>,
    changed: Condvar,
}

enum Job {
    List(Arc<DirJob>),
    Look { dir: Arc<DirJob>, names: Arc<Names>, range: Range<usize>, first: Vec<u8> },
}

/// A directory to go into.
struct DirJob {
    handle: Arc<DirHandle>,
    path: Vec<u8>,
    /// The sources below it that were named themselves.
    roots: Option<Arc<RootNode>>,
    /// Whether all that is in it is taken, or only what leads to `roots`.
    full: bool,
    /// The file system to stay in.
    dev: u64,
    ignore: Option<Arc<IgnoreFile>>,
}

enum Phase {
    Waiting,
    Running,
    Done(Vec<Step>),
    /// Its steps were taken, or the thread that did it panicked.
    Gone,
}

/// What [`Unit::try_take`] found.
pub(super) enum Taken {
    /// The steps.
    Steps(Vec<Step>),
    /// Nobody began it: the caller has to do it, with [`Unit::run`].
    Yours,
    /// Another thread is at it.
    Running,
    /// There is nothing to be had any more.
    Gone,
}

impl Unit {
    fn new(job: Job) -> Arc<Self> {
        Arc::new(Self { job, phase: Mutex::new(Phase::Waiting), changed: Condvar::new() })
    }

    /// Where its entries come in the order of the walk.
    pub(super) fn first_path(&self) -> &[u8] {
        match &self.job {
            Job::List(dir) => &dir.path,
            Job::Look { first, .. } => first,
        }
    }

    /// Takes the steps if they are there, or the duty to make them.
    pub(super) fn try_take(&self) -> Taken {
        let mut phase = self.phase.lock();
        match std::mem::replace(&mut *phase, Phase::Gone) {
            Phase::Done(steps) => Taken::Steps(steps),
            Phase::Waiting => {
                *phase = Phase::Running;
                Taken::Yours
            }
            Phase::Running => {
                *phase = Phase::Running;
                Taken::Running
            }
            Phase::Gone => Taken::Gone,
        }
    }

    /// Takes the duty to do it, unless somebody did.
    pub(super) fn claim(&self) -> bool {
        let mut phase = self.phase.lock();
        let waiting = matches!(*phase, Phase::Waiting);
        if waiting {
            *phase = Phase::Running;
        }
        waiting
    }

    /// Waits until another thread is done with it.
    pub(super) fn wait(&self) {
        let mut phase = self.phase.lock();
        while matches!(*phase, Phase::Running) {
            self.changed.wait(&mut phase);
        }
    }

    /// Does it, for who claimed it, and leaves the steps to be taken.
    pub(super) fn run_and_leave(
        &self,
        rules: &Rules,
        scratch: &mut Scratch,
        found: impl FnOnce(&[Step]),
    ) {
        // Whoever waits for it must wake up even if this thread dies.
        struct Finish<'a>(&'a Unit, Option<Vec<Step>>);
        impl Drop for Finish<'_> {
            fn drop(&mut self) {
                *self.0.phase.lock() = self.1.take().map_or(Phase::Gone, Phase::Done);
                self.0.changed.notify_all();
            }
        }
        let mut finish = Finish(self, None);
        let steps = self.run(rules, scratch);
        found(&steps);
        finish.1 = Some(steps);
    }

    /// Does it, for who claimed it.
    pub(super) fn run(&self, rules: &Rules, scratch: &mut Scratch) -> Vec<Step> {
        match &self.job {
            Job::List(dir) => dir.list(rules, scratch),
            Job::Look { dir, names, range, .. } => dir.look(rules, names, range.clone()),
        }
    }

    /// Takes whatever it holds, to drop it piece by piece.
    pub(super) fn dismantle(&self) -> Vec<Step> {
        match std::mem::replace(&mut *self.phase.lock(), Phase::Gone) {
            Phase::Done(steps) => steps,
            _ => Vec::new(),
        }
    }
}

impl Step {
    /// The unit that comes with it.
    pub(super) fn unit(&self) -> Option<&Arc<Unit>> {
        match self {
            Self::Entry(_, unit) => unit.as_ref(),
            Self::More(unit) => Some(unit),
            Self::Failed(_) => None,
        }
    }

    /// The same, and drops the rest.
    pub(super) fn into_unit(self) -> Option<Arc<Unit>> {
        match self {
            Self::Entry(_, unit) => unit,
            Self::More(unit) => Some(unit),
            Self::Failed(_) => None,
        }
    }
}

/// The first steps of a walk: the root directory and what is below.
pub(super) fn first_steps(root: Arc<DirHandle>, roots: Arc<RootNode>) -> io::Result<Vec<Step>> {
    let stat = fsmeta::stat_fd(root.fd()?)?;
    let job = DirJob {
        handle: root.clone(),
        path: Vec::new(),
        full: roots.source,
        roots: (!roots.children.is_empty()).then_some(roots),
        dev: stat.dev,
        ignore: None,
    };
    let entry = WalkEntry { path: Vec::new(), stat, dir: root, name_start: 0, follow: false };
    Ok(vec![Step::Entry(entry, Some(Unit::new(Job::List(Arc::new(job)))))])
}

/// What a walk leaves out.
pub(super) struct Rules {
    excludes: Excludes,
    markers: Vec<Marker>,
    options: WalkOptions,
    /// Whether leaving an entry out takes more than its path.
    needs_kind: bool,
    entries_per_unit: usize,
}

impl Rules {
    pub(super) fn new(options: &WalkOptions) -> Result<Self> {
        let excludes = Excludes::new(options)?;
        let markers = Marker::from_options(options)?;
        let needs_kind = options.git_ignore || excludes.needs_kind();
        Ok(Self {
            excludes,
            markers,
            options: options.clone(),
            needs_kind,
            entries_per_unit: ENTRIES_PER_UNIT,
        })
    }

    fn excludes_path(&self, dir: &DirJob, path: &[u8], name: &[u8], is_dir: bool) -> bool {
        self.excludes.exclude(path, name, is_dir)
            || dir.ignore.as_ref().is_some_and(|ignore| ignore.ignores(path, is_dir))
    }

    fn excludes_id(&self, stat: &Stat) -> bool {
        let is_it = |id: &super::FileId| id.inode == stat.inode && id.dev == stat.dev;
        self.options.exclude_ids.iter().any(is_it)
    }

    fn excludes_stat(&self, stat: &Stat, dir: &OwnedFd, name: &[u8]) -> bool {
        let dumpable = matches!(stat.kind, FileKind::File | FileKind::Dir);
        (stat.kind == FileKind::File
            && self.options.exclude_larger_than.is_some_and(|max| stat.size > max))
            || (self.options.exclude_nodump
                && dumpable
                && fsmeta::has_nodump_at(dir, name).unwrap_or(false))
    }
}

/// Memory that a thread uses again for each unit.
#[derive(Default)]
pub(super) struct Scratch {
    dir_buf: Vec<u8>,
    names: Names,
}

/// Names of a directory's entries, sorted.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    refs: Vec<NameRef>,
}

#[derive(Clone, Copy)]
struct NameRef {
    start: usize,
    len: u16,
    /// Whether [`DirJob::roots`] has it.
    rooted: bool,
}

impl Names {
    fn clear(&mut self) {
        self.bytes.clear();
        self.refs.clear();
    }

    fn push(&mut self, name: &[u8], rooted: bool) {
        // The kernel's own limit is 255 bytes; what is longer could not be opened anyway.
        if let Ok(len) = u16::try_from(name.len()) {
            self.refs.push(NameRef { start: self.bytes.len(), len, rooted });
            self.bytes.extend_from_slice(name);
        }
    }

    fn get(&self, at: &NameRef) -> &[u8] {
        &self.bytes[at.start..at.start + usize::from(at.len)]
    }

    fn sort(&mut self) {
        let mut refs = std::mem::take(&mut self.refs);
        refs.sort_unstable_by(|a, b| self.get(a).cmp(self.get(b)));
        self.refs = refs;
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.refs.binary_search_by(|at| self.get(at).cmp(name)).is_ok()
    }
}

impl DirJob {
    fn path_of(&self, name: &[u8]) -> (Vec<u8>, usize) {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(&self.path);
        if !path.is_empty() {
            path.push(b'/');
        }
        let name_start = path.len();
        path.extend_from_slice(name);
        (path, name_start)
    }

    fn root_of(&self, name: &[u8]) -> Option<&Arc<RootNode>> {
        self.roots.as_ref()?.children.get(name)
    }

    /// Reads the directory and, unless it is large, looks at its entries.
    fn list(self: &Arc<Self>, rules: &Rules, scratch: &mut Scratch) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut names = std::mem::take(&mut scratch.names);
        names.clear();
        let mut dir = self.clone();
        for name in self.roots.iter().flat_map(|roots| roots.children.keys()) {
            names.push(name, true);
        }
        if self.full {
            match self.read_names(rules, scratch, &mut names, &mut steps) {
                Ok(Some(ignore)) => dir = self.with_ignore(ignore),
                Ok(None) => {}
                Err(error) => {
                    let kind = match error.kind() {
                        io::ErrorKind::NotFound => FailureKind::Vanished,
                        _ => FailureKind::Content,
                    };
                    steps.push(Step::Failed(Failure { path: self.path.clone(), kind, error }));
                }
            }
        } else {
            names.sort();
        }
        if names.refs.len() <= rules.entries_per_unit {
            let all = 0..names.refs.len();
            let looked = dir.look(rules, &names, all);
            scratch.names = names;
            if steps.is_empty() {
                return looked;
            }
            steps.extend(looked);
            return steps;
        }
        let names = Arc::new(names);
        for start in (0..names.refs.len()).step_by(rules.entries_per_unit) {
            let range = start..names.refs.len().min(start + rules.entries_per_unit);
            let (first, _) = self.path_of(names.get(&names.refs[start]));
            let job = Job::Look { dir: dir.clone(), names: names.clone(), range, first };
            steps.push(Step::More(Unit::new(job)));
        }
        steps
    }

    fn with_ignore(&self, ignore: Arc<IgnoreFile>) -> Arc<Self> {
        Arc::new(Self {
            handle: self.handle.clone(),
            path: self.path.clone(),
            roots: self.roots.clone(),
            full: self.full,
            dev: self.dev,
            ignore: Some(ignore),
        })
    }

    /// Reads the names that are not left out by their path alone, sorted. Returns the rules that
    /// the directory adds.
    fn read_names(
        &self,
        rules: &Rules,
        scratch: &mut Scratch,
        names: &mut Names,
        steps: &mut Vec<Step>,
    ) -> io::Result<Option<Arc<IgnoreFile>>> {
        let fd = self.handle.open_to_read()?;
        let rooted = names.refs.len();
        // An automount may have put another file system here since it was looked at.
        if rules.options.one_file_system && fsmeta::stat_fd(&fd)?.dev != self.dev {
            names.sort();
            return Ok(None);
        }
        let mut kinds = Vec::new();
        let read = fsmeta::read_dir_names(&fd, &mut scratch.dir_buf, |name, is_dir| {
            if rooted == 0 || self.root_of(name).is_none() {
                names.push(name, false);
                if rules.needs_kind || !rules.excludes.is_empty() {
                    kinds.push(is_dir);
                }
            }
        });
        let ignore = self.read_rules(rules, &fd, names, rooted, kinds, steps);
        names.sort();
        if rules.markers.is_empty() {
            return read.map(|()| ignore);
        }
        self.apply_markers(rules, &fd, names, steps);
        read.map(|()| ignore)
    }

    /// Reads `.gitignore` and drops the names that patterns leave out.
    fn read_rules(
        &self,
        rules: &Rules,
        fd: &OwnedFd,
        names: &mut Names,
        rooted: usize,
        kinds: Vec<Option<bool>>,
        steps: &mut Vec<Step>,
    ) -> Option<Arc<IgnoreFile>> {
        let has = |names: &Names, name| names.refs.iter().any(|at| names.get(at) == name);
        let mut ignore = None;
        if rules.options.git_ignore && has(names, IgnoreFile::NAME) {
            let problem = match IgnoreFile::read(fd, &self.path, self.ignore.as_ref()) {
                Ok((file, problem)) => {
                    ignore = Some(file);
                    problem
                }
                Err(error) => Some(error),
            };
            if let Some(error) = problem {
                let (path, _) = self.path_of(IgnoreFile::NAME);
                steps.push(Step::Failed(Failure { path, kind: FailureKind::Rules, error }));
            }
        }
        if rules.excludes.is_empty() && ignore.is_none() && self.ignore.is_none() {
            return None;
        }
        let ignore_here = ignore.as_ref().or(self.ignore.as_ref());
        let mut kept = names.refs[..rooted].to_vec();
        for (at, is_dir) in names.refs[rooted..].iter().zip(kinds) {
            let name = names.get(at);
            let (path, _) = self.path_of(name);
            let is_dir = match is_dir {
                None if rules.needs_kind => {
                    fsmeta::stat_at(fd, name).is_ok_and(|stat| stat.is_dir())
                }
                is_dir => is_dir == Some(true),
            };
            let excluded = rules.excludes.exclude(&path, name, is_dir)
                || ignore_here.is_some_and(|ignore| ignore.ignores(&path, is_dir));
            if !excluded {
                kept.push(*at);
            }
        }
        names.refs = kept;
        ignore
    }

    /// Drops everything but markers if there is a valid one.
    fn apply_markers(&self, rules: &Rules, fd: &OwnedFd, names: &mut Names, steps: &mut Vec<Step>) {
        for marker in &rules.markers {
            if !names.contains(&marker.name) {
                continue;
            }
            match marker.is_valid(fd) {
                Ok(true) => {
                    let mut refs = std::mem::take(&mut names.refs);
                    refs.retain(|at| at.rooted || names.get(at) == marker.name);
                    names.refs = refs;
                }
                Ok(false) => {}
                Err(error) => {
                    let (path, _) = self.path_of(&marker.name);
                    steps.push(Step::Failed(Failure { path, kind: FailureKind::Rules, error }));
                }
            }
        }
    }

    /// Looks at some entries.
    fn look(&self, rules: &Rules, names: &Names, range: Range<usize>) -> Vec<Step> {
        let mut steps = Vec::with_capacity(range.len());
        if range.is_empty() {
            return steps;
        }
        let fd = match self.handle.fd() {
            Ok(fd) => fd,
            Err(error) => {
                let kind = FailureKind::Content;
                return vec![Step::Failed(Failure { path: self.path.clone(), kind, error })];
            }
        };
        for at in &names.refs[range] {
            let name = names.get(at);
            let root = if at.rooted { self.root_of(name) } else { None };
            match root {
                Some(root) => self.look_at_root(rules, &fd, name, root, &mut steps),
                None => self.look_at(rules, &fd, name, &mut steps),
            }
        }
        steps
    }

    fn look_at(&self, rules: &Rules, fd: &OwnedFd, name: &[u8], steps: &mut Vec<Step>) {
        let (path, name_start) = self.path_of(name);
        let stat = match fsmeta::stat_at(fd, name) {
            Ok(stat) => stat,
            Err(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::NotFound => FailureKind::Vanished,
                    _ => FailureKind::Entry,
                };
                steps.push(Step::Failed(Failure { path, kind, error }));
                return;
            }
        };
        if rules.excludes_id(&stat) || rules.excludes_stat(&stat, fd, name) {
            return;
        }
        let enter = stat.is_dir() && (!rules.options.one_file_system || stat.dev == self.dev);
        let unit = enter.then(|| {
            Unit::new(Job::List(Arc::new(DirJob {
                handle: DirHandle::child(&self.handle, name, false),
                path: path.clone(),
                roots: None,
                full: true,
                dev: self.dev,
                ignore: self.ignore.clone(),
            })))
        });
        let dir = self.handle.clone();
        steps.push(Step::Entry(WalkEntry { path, stat, dir, name_start, follow: false }, unit));
    }

    /// Looks at a source, or at a directory on the way to one. What the user named is taken
    /// whatever the patterns say.
    fn look_at_root(
        &self,
        rules: &Rules,
        fd: &OwnedFd,
        name: &[u8],
        root: &Arc<RootNode>,
        steps: &mut Vec<Step>,
    ) {
        let (path, name_start) = self.path_of(name);
        let mut follow = false;
        let mut looked = fsmeta::stat_at(fd, name);
        if looked.as_ref().is_ok_and(|stat| stat.kind == FileKind::Symlink) {
            follow = root.follow || !(root.source || self.full);
            if follow {
                looked = fsmeta::stat_follow_at(fd, name);
            }
        }
        if follow && looked.as_ref().is_ok_and(|stat| !stat.is_dir()) {
            looked = Err(io::ErrorKind::NotADirectory.into());
        }
        let stat = match looked {
            Ok(stat) => stat,
            Err(error) => return root.fail(&path, &error, steps),
        };
        if rules.excludes_id(&stat) {
            let error = io::Error::other("this is the repository that is being written");
            return root.fail(&path, &error, steps);
        }
        let mut below = Vec::new();
        let mut unit = None;
        if stat.is_dir() {
            // Inside of another source it is also taken for the sake of that one.
            let full = root.source
                || (self.full
                    && !rules.excludes_path(self, &path, name, true)
                    && !rules.excludes_stat(&stat, fd, name)
                    && (!rules.options.one_file_system || stat.dev == self.dev));
            unit = Some(Unit::new(Job::List(Arc::new(DirJob {
                handle: DirHandle::child(&self.handle, name, follow),
                path: path.clone(),
                roots: (!root.children.is_empty()).then(|| root.clone()),
                full,
                dev: if root.source { stat.dev } else { self.dev },
                ignore: if self.full { self.ignore.clone() } else { None },
            }))));
        } else {
            let error = match stat.kind {
                FileKind::Symlink => io::Error::new(
                    io::ErrorKind::NotADirectory,
                    "it is reached through a symbolic link that another source stores as a link",
                ),
                _ => io::ErrorKind::NotADirectory.into(),
            };
            root.fail_below(&path, &error, &mut below);
        }
        let dir = self.handle.clone();
        steps.push(Step::Entry(WalkEntry { path, stat, dir, name_start, follow }, unit));
        steps.append(&mut below);
    }
}

impl RootNode {
    /// Reports this source, if it is one, and those below it.
    fn fail(&self, path: &[u8], error: &io::Error, steps: &mut Vec<Step>) {
        if self.source {
            let kind = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    FailureKind::SourceMissing
                }
                _ => FailureKind::Entry,
            };
            let error = copy_error(error);
            steps.push(Step::Failed(Failure { path: path.to_vec(), kind, error }));
        }
        self.fail_below(path, error, steps);
    }

    fn fail_below(&self, path: &[u8], error: &io::Error, steps: &mut Vec<Step>) {
        for (name, child) in &self.children {
            child.fail(&[path, b"/", name].concat(), error, steps);
        }
    }
}

fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
