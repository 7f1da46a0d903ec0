//! Takes over members one by one: checks what they say, stores their content, collects entries.

use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;

use super::content::Store;
use super::limits::Budget;
use super::links::Links;
use super::member::{Member, MemberKind, Stop};
use super::name::{check_target, member_path};
use super::sorter::Sorter;
use crate::archive::StreamError;
use crate::error::Result;
use crate::format::log::{ERRORS_KEPT, SourceError};
use crate::format::page::{encode_xattrs, inline_xattrs};
use crate::format::record::Bin;
use crate::model::{Content, Entry, FileKind, Xattr, XattrsRef};
use crate::runtime::{Issue, IssueKind, Runtime};
use crate::tree::Sink;

/// What Linux allows of an extended attribute, and of all of a file.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 64 << 10;
const XATTRS_MAX: usize = 1 << 20;
/// The target of a symbolic link is read to here.
const TARGET_MAX: u64 = 4096;

/// What could not be taken over.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) failed: u64,
    pub(super) warnings: u64,
    pub(super) errors: Vec<SourceError>,
}

/// What becomes of the archive when the content of a member is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadContent {
    /// The member is left out: the others are elsewhere.
    Skip,
    /// Reading ends: nobody knows what follows.
    Stop,
}

/// Where members go.
pub(super) struct Intake<'r> {
    pub(super) store: Store<'r>,
    sorter: Sorter,
    links: Links,
    budget: Rc<Budget>,
    /// Where the members are put.
    root: Vec<u8>,
    /// How many came.
    seq: u64,
    runtime: &'r Runtime,
    pub(super) tally: Tally,
}

impl<'r> Intake<'r> {
    pub(super) fn new(
        sink: Sink<'r>,
        budget: &Rc<Budget>,
        root: Vec<u8>,
        runtime: &'r Runtime,
    ) -> Self {
        // Sealed under a key of this run, and without a name.
        let folder: PathBuf = std::env::temp_dir();
        Self {
            store: Store::new(sink, runtime.cancel.clone()),
            sorter: Sorter::new(Some(folder).filter(|folder| folder.is_dir()), &runtime.random),
            links: Links::default(),
            budget: Rc::clone(budget),
            root,
            seq: 0,
            runtime,
            tally: Tally::default(),
        }
    }

    /// Everything came.
    pub(super) fn finish(self) -> (Store<'r>, Sorter, Links, Tally) {
        (self.store, self.sorter, self.links, self.tally)
    }

    /// Takes over a member; its content is opened only if it is needed.
    ///
    /// # Errors
    /// [`Stop`]; what is wrong with the member alone is counted.
    pub(super) fn add<'c>(
        &mut self,
        member: Member,
        on_bad: BadContent,
        open: impl FnOnce() -> Result<Box<dyn Read + 'c>, Stop>,
    ) -> Result<(), Stop> {
        self.runtime.cancel.check()?;
        self.budget.entry()?;
        self.seq += 1;
        let path = match member_path(&member.name, &self.root) {
            Ok(path) => path,
            Err(why) => {
                self.refuse(member.name, why);
                return Ok(());
            }
        };
        self.runtime.progress.current(&as_path(&path));
        for what in &member.odd {
            self.warn(&path, what);
        }
        // The place that everything is put below is a folder.
        if path == self.root && member.kind != MemberKind::Dir {
            self.refuse(member.name, "it has no name");
            return Ok(());
        }
        let mut entry = Entry {
            mode: member.mode & 0o7777,
            owner: member.owner.clone(),
            mtime: member.mtime,
            atime: member.atime,
            inode: self.seq,
            ..Entry::new(path, FileKind::File)
        };
        match &member.kind {
            MemberKind::File => {
                let mut content = self.opened(open)?;
                if !self.content(&member, &mut *content, &mut entry, on_bad)? {
                    return Ok(());
                }
            }
            MemberKind::Dir => entry.kind = FileKind::Dir,
            MemberKind::Symlink(target) => {
                let target = match target {
                    Some(target) => target.clone(),
                    None => {
                        let content = self.opened(open)?;
                        match self.target(&entry.path, content, on_bad)? {
                            Some(target) => target,
                            None => return Ok(()),
                        }
                    }
                };
                if let Err(why) = check_target(&target) {
                    self.refuse(entry.path, why);
                    return Ok(());
                }
                entry.kind = FileKind::Symlink;
                entry.content = Content::Inline(target);
            }
            MemberKind::HardLink(target) => return self.link(entry.path, target),
            MemberKind::Fifo => entry.kind = FileKind::Fifo,
            MemberKind::CharDevice(major, minor) => {
                entry.kind = FileKind::CharDevice;
                entry.device = Some((*major, *minor));
            }
            MemberKind::BlockDevice(major, minor) => {
                entry.kind = FileKind::BlockDevice;
                entry.device = Some((*major, *minor));
            }
            MemberKind::Unsupported(why) => {
                self.refuse(entry.path, why);
                return Ok(());
            }
        }
        entry.xattrs = self.xattrs(&entry.path, member.xattrs)?;
        self.links.remove(&entry.path);
        self.runtime.progress.done(1, 0);
        self.runtime.progress.detail("imported", &entry.path);
        Ok(self.sorter.push(entry)?)
    }

    /// Stores the content of a file. `false` if it is left out.
    fn content(
        &mut self,
        member: &Member,
        reader: &mut dyn Read,
        entry: &mut Entry,
        on_bad: BadContent,
    ) -> Result<bool, Stop> {
        let progress = &self.runtime.progress;
        let mut progress = |len| progress.done(0, len);
        let stored = match &member.extents {
            None => self.store.file(reader, member.size, &mut progress),
            Some(extents) => {
                self.store.sparse(reader, member.size, extents, &self.budget, &mut progress)
            }
        };
        match stored {
            Ok(stored) => {
                (entry.content, entry.size) = (stored.content, stored.size);
                entry.sparse = stored.sparse;
                Ok(true)
            }
            Err(StreamError::Sink(error)) => Err(Stop::Fatal(error)),
            Err(StreamError::Source(error)) => {
                self.bad_content(&entry.path, &error, on_bad).map(|()| false)
            }
        }
    }

    /// Reads the target of a symbolic link, where it is the content of the member.
    fn target(
        &mut self,
        path: &[u8],
        reader: impl Read,
        on_bad: BadContent,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let mut target = Vec::new();
        match reader.take(TARGET_MAX).read_to_end(&mut target) {
            Ok(_) => Ok(Some(target)),
            Err(error) => self.bad_content(path, &error, on_bad).map(|()| None),
        }
    }

    fn bad_content(
        &mut self,
        path: &[u8],
        error: &std::io::Error,
        on_bad: BadContent,
    ) -> Result<(), Stop> {
        if let Some(stop) = self.budget.take_stop() {
            return Err(Stop::Fatal(stop));
        }
        self.refuse(path.to_vec(), &format!("its content is damaged: {error}"));
        match on_bad {
            BadContent::Skip => Ok(()),
            BadContent::Stop => Err(Stop::damaged(error)),
        }
    }

    fn opened<'c>(
        &self,
        open: impl FnOnce() -> Result<Box<dyn Read + 'c>, Stop>,
    ) -> Result<Box<dyn Read + 'c>, Stop> {
        open().map_err(|stop| match self.budget.take_stop() {
            Some(error) => Stop::Fatal(error),
            None => stop,
        })
    }

    fn link(&mut self, path: Vec<u8>, target: &[u8]) -> Result<(), Stop> {
        match member_path(target, &self.root) {
            Ok(target) => {
                if self.links.add(path.clone(), target, self.seq)? {
                    self.runtime.progress.done(1, 0);
                    self.runtime.progress.detail("imported", &path);
                }
            }
            Err(_) => self.refuse(path, "the name that it is another one of is refused"),
        }
        Ok(())
    }

    /// The attributes of an entry, sorted, without those that no file can have.
    fn xattrs(&mut self, path: &[u8], mut list: Vec<Xattr>) -> Result<XattrsRef, Stop> {
        list.sort();
        list.dedup_by(|later, earlier| later.name == earlier.name);
        let before = list.len();
        let mut bytes = 0;
        list.retain(|xattr| {
            let name = &xattr.name;
            bytes += name.len() + xattr.value.len();
            let is_name = !name.is_empty() && name.len() <= XATTR_NAME_MAX && !name.contains(&0);
            is_name && xattr.value.len() <= XATTR_VALUE_MAX && bytes <= XATTRS_MAX
        });
        if list.len() < before {
            let dropped = before - list.len();
            self.warn(path, &format!("{dropped} of its attributes are none that a file can have"));
        }
        if list.is_empty() {
            return Ok(XattrsRef::None);
        }
        let inline_max = self.store.sink.repository().config().pages.inline_max;
        Ok(if inline_xattrs(&list, inline_max) {
            XattrsRef::Inline(list)
        } else {
            XattrsRef::Page(self.store.sink.put_page(&encode_xattrs(&list))?)
        })
    }

    /// Counts and tells what is not taken over.
    pub(super) fn refuse(&mut self, path: Vec<u8>, why: &str) {
        self.tally.refuse(self.runtime, path, why);
    }

    /// Tells what is not quite as it was.
    pub(super) fn warn(&mut self, path: &[u8], what: &str) {
        self.tally.warnings += 1;
        let issue =
            Issue { kind: IssueKind::Warning, path: path.to_vec(), message: what.to_string() };
        self.runtime.progress.issue(&issue);
    }
}

impl Tally {
    /// Counts and tells what is not taken over.
    pub(super) fn refuse(&mut self, runtime: &Runtime, path: Vec<u8>, why: &str) {
        self.failed += 1;
        let issue = Issue { kind: IssueKind::Failed, path, message: why.to_string() };
        runtime.progress.issue(&issue);
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push(SourceError { path: Bin(issue.path), message: issue.message });
        }
    }
}

fn as_path(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec([b"/", path].concat()))
}
