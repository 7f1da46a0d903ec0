//! Looking at entries of a directory, and deciding where to go on.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::fsmeta::{self, FileKind};

use super::dir::DirHandle;
use super::entry::{Failure, FailureKind, WalkEntry};
use super::folder::Folder;
use super::names::{NameKind, Names};
use super::roots::RootNode;
use super::rules::Rules;
use super::unit::{Step, Unit};

impl Folder {
    /// Looks at some entries.
    pub(super) fn look(&self, rules: &Rules, names: &Names, range: Range<usize>) -> Vec<Step> {
        let mut steps = Vec::with_capacity(range.len());
        if range.is_empty() {
            return steps;
        }
        let fd = match self.handle.fd() {
            Ok(fd) => fd,
            Err(error) => return vec![self.failed(error)],
        };
        for index in range {
            let (name, kind) = names.get(index);
            let root = match (kind, &self.roots) {
                (NameKind::Rooted, Some(roots)) => roots.children.get(name),
                _ => None,
            };
            match root {
                Some(root) => self.look_at_root(rules, &fd, name, root, &mut steps),
                None => steps.extend(self.look_at(rules, &fd, name)),
            }
        }
        steps
    }

    fn look_at(&self, rules: &Rules, fd: &OwnedFd, name: &[u8]) -> Option<Step> {
        let (path, name_start) = self.path_of(name);
        let stat = match fsmeta::stat_at(fd, name) {
            Ok(stat) => stat,
            Err(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::NotFound => FailureKind::Vanished,
                    _ => FailureKind::Entry,
                };
                return Some(Step::Failed(Failure { path, kind, error }));
            }
        };
        if rules.exclude_id(&stat) || rules.exclude_stat(&stat, fd, name) {
            return None;
        }
        let enter = stat.is_dir() && (!rules.options.one_file_system || stat.dev == self.dev);
        let unit = enter.then(|| {
            Unit::list(Folder {
                handle: DirHandle::child(&self.handle, name, false),
                path: path.clone(),
                roots: None,
                full: true,
                dev: self.dev,
                ignore: self.ignore.clone(),
            })
        });
        let dir = self.handle.clone();
        Some(Step::Entry(WalkEntry { path, stat, dir, name_start, follow: false }, unit))
    }

    /// Looks at a source, or at a directory on the way to one. What the user named is taken
    /// whatever the rules say.
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
            // A link that is itself taken cannot be a directory too.
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
        if rules.exclude_id(&stat) {
            let error = io::Error::other("this is the repository that is being written");
            return root.fail(&path, &error, steps);
        }
        if !stat.is_dir() {
            let error = match stat.kind {
                FileKind::Symlink => io::Error::new(
                    io::ErrorKind::NotADirectory,
                    "it is reached through a symbolic link that another source stores as a link",
                ),
                _ => io::ErrorKind::NotADirectory.into(),
            };
            let dir = self.handle.clone();
            let entry = WalkEntry { path, stat, dir, name_start, follow };
            let mut failed = Vec::new();
            root.fail_below(&entry.path, &error, &mut failed);
            steps.push(Step::Entry(entry, None));
            steps.append(&mut failed);
            return;
        }
        // Inside of another source all of it may be taken, for the sake of that one.
        let full = root.source
            || (self.full
                && !rules.exclude_path(self.ignore.as_ref(), &path, name, true)
                && !rules.exclude_stat(&stat, fd, name)
                && (!rules.options.one_file_system || stat.dev == self.dev));
        let unit = Unit::list(Folder {
            handle: DirHandle::child(&self.handle, name, follow),
            path: path.clone(),
            roots: (!root.children.is_empty()).then(|| root.clone()),
            full,
            dev: if root.source { stat.dev } else { self.dev },
            ignore: if self.full { self.ignore.clone() } else { None },
        });
        let dir = self.handle.clone();
        steps.push(Step::Entry(WalkEntry { path, stat, dir, name_start, follow }, Some(unit)));
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
