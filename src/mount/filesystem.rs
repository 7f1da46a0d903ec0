//! Answers the kernel's questions from a view.
//!
//! Each thread of the session takes a question, answers it and takes the next; there are enough of
//! them that those who wait for storage leave some for the others ([`super::tuning`]).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::files::Files;
use super::folders::{Folder, Folders};
use super::kernel::{file_attributes, file_type, nothing};
use super::tuning::Tuning;
use super::waiting::{Answer, Refuse, Waiting};
use crate::error::{Error, Result};
use crate::view::{Attributes, NodeId, OpenFile, View, is_gone};

/// How long the kernel may remember what never changes.
const LASTING: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long it may remember what snapshots there are.
const PASSING: Duration = Duration::from_secs(1);
/// Numbers of nodes are never used again for others.
const GENERATION: Generation = Generation(0);
/// `.` and `..` come before what a view lists.
const DOTS: u64 = 2;
/// Bytes of a name, and of a block of the file system.
const NAME_MAX: u32 = 255;
const BLOCK: u32 = 4096;
/// Attributes whose names only the system itself may see.
const TRUSTED: &[u8] = b"trusted.";

/// A view as the kernel sees it.
pub(super) struct Filesystem {
    view: Arc<View>,
    tuning: Tuning,
    /// The kernel keeps to access control lists, and not only to permission bits.
    keeps_acls: bool,
    waiting: Arc<Waiting>,
    folders: Folders,
    files: Files,
    /// Dropped when the session ends.
    _ends: crossbeam_channel::Sender<()>,
}

/// Why a question has no answer.
enum Refusal {
    Errno(Errno),
    /// Something of the repository could not be read.
    Unreadable(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Refusal {
    fn errno(&self) -> Errno {
        match self {
            Self::Errno(errno) => *errno,
            Self::Unreadable(error) if is_gone(error) => Errno::ENOENT,
            Self::Unreadable(_) => Errno::EIO,
        }
    }
}

impl Filesystem {
    /// `ends` is dropped when the kernel has no more questions.
    pub(super) fn new(
        view: Arc<View>,
        tuning: Tuning,
        keeps_acls: bool,
        ends: crossbeam_channel::Sender<()>,
    ) -> Self {
        Self {
            view,
            tuning,
            keeps_acls,
            waiting: Waiting::start(tuning.patience),
            folders: Folders::default(),
            files: Files::default(),
            _ends: ends,
        }
    }

    /// Answers one question: `find` finds out, and returns what to do with the reply.
    fn answer<R: Refuse, G: FnOnce(R)>(
        &self,
        request: &Request,
        reply: R,
        find: impl FnOnce() -> Result<G, Refusal>,
    ) {
        let (answer, _ticket) = self.waiting.take(request.pid(), reply);
        match find() {
            Ok(give) => answer.give(give),
            Err(refusal) => answer.give(|reply| reply.refuse(refusal.errno())),
        }
    }

    /// The file of a node, opened or kept from the last read.
    fn file(&self, node: NodeId, offset: u64, len: u32) -> Result<Arc<OpenFile>> {
        if let Some(file) = self.files.get(node) {
            return Ok(file);
        }
        let file = self.view.open_file(node)?;
        // One that is read at once need not be kept.
        if offset == 0 && u64::from(len) >= file.size() {
            return Ok(Arc::new(file));
        }
        Ok(self.files.keep(node, file))
    }

    fn list<R: Refuse>(
        &self,
        request: &Request,
        (node, handle, offset): (INodeNo, FileHandle, u64),
        reply: R,
        mut add: impl FnMut(&mut R, &Listed<'_>) -> bool,
        finish: impl FnOnce(R),
    ) {
        let (answer, _ticket) = self.waiting.take(request.pid(), reply);
        let Some(folder) = self.folders.get(handle.0) else {
            return answer.give(|reply| reply.refuse(Errno::EBADF));
        };
        let mut folder = folder.lock();
        let mut added = 0_u32;
        let mut put = |answer: &Answer<R>, listed: &Listed<'_>| {
            let is_full = answer.fill(|reply| add(reply, listed)).unwrap_or(true);
            added += u32::from(!is_full);
            !is_full
        };
        let read = self.list_from(&mut folder, node, offset, |listed| put(&answer, listed));
        match read {
            // What was found goes out; the error comes with the next question.
            Err(error) if added == 0 => {
                let errno = Refusal::from(error).errno();
                answer.give(|reply| reply.refuse(errno));
            }
            _ => answer.give(finish),
        }
    }

    fn list_from(
        &self,
        folder: &mut Folder,
        node: INodeNo,
        offset: u64,
        mut put: impl FnMut(&Listed<'_>) -> bool,
    ) -> Result<()> {
        for (at, name) in (1..).zip([&b"."[..], b".."]).skip(offset.min(DOTS) as usize) {
            let dot = Listed { name, node, cursor: at, attributes: None };
            if !put(&dot) {
                return Ok(());
            }
        }
        folder.read(&self.view, offset.saturating_sub(DOTS), |item| {
            put(&Listed {
                name: &item.name,
                node: INodeNo(item.attributes.node.0),
                cursor: item.cursor + DOTS,
                attributes: Some(&item.attributes),
            })
        })
    }
}

/// One name of a folder.
struct Listed<'l> {
    name: &'l [u8],
    node: INodeNo,
    cursor: u64,
    /// Those of `.` and `..` are not asked for.
    attributes: Option<&'l Attributes>,
}

/// How long what was said about a node is good.
fn time_to_live(attributes: &Attributes) -> Duration {
    if attributes.lasting { LASTING } else { PASSING }
}

fn node_of(number: INodeNo) -> NodeId {
    NodeId(number.0)
}

impl fuser::Filesystem for Filesystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Not that links are remembered for ever: `latest` leads to another snapshot tomorrow.
        let mut wanted = InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_ASYNC_DIO;
        if self.keeps_acls {
            wanted |= InitFlags::FUSE_POSIX_ACL;
        }
        for flag in wanted.iter() {
            // An older kernel asks more often.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_background(self.tuning.max_background);
        let _ = config.set_congestion_threshold(self.tuning.max_background);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.answer(request, reply, || {
            let parent = node_of(parent);
            let found = self.view.lookup(parent, name.as_bytes())?;
            let is_lasting = parent.is_lasting();
            if found.is_none() && !is_lasting {
                return Err(Refusal::Errno(Errno::ENOENT));
            }
            Ok(move |reply: ReplyEntry| match found {
                Some(found) => {
                    let entry = if is_lasting { LASTING } else { PASSING };
                    let attributes = file_attributes(&found);
                    let live = time_to_live(&found);
                    reply.entry_with_ttls(&live, &entry, &attributes, GENERATION);
                }
                // Node 0: there is nothing, and never will be.
                None => reply.entry(&LASTING, &nothing(), GENERATION),
            })
        });
    }

    fn getattr(&self, request: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.answer(request, reply, || {
            let found = self.view.attributes(node_of(node))?;
            Ok(move |reply: ReplyAttr| reply.attr(&time_to_live(&found), &file_attributes(&found)))
        });
    }

    fn readlink(&self, request: &Request, node: INodeNo, reply: ReplyData) {
        self.answer(request, reply, || {
            let target = self.view.read_link(node_of(node))?;
            Ok(move |reply: ReplyData| reply.data(&target))
        });
    }

    fn open(&self, request: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.answer(request, reply, || {
            // Taken by the kernel as: nothing needs to be opened, and all may be kept.
            if self.tuning.opens_nothing {
                return Err(Refusal::Errno(Errno::ENOSYS));
            }
            self.view.attributes(node_of(node))?;
            let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
            Ok(move |reply: ReplyOpen| reply.opened(FileHandle(0), flags))
        });
    }

    fn read(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.answer(request, reply, || {
            let node = node_of(node);
            let file = self.file(node, offset, len)?;
            let bytes = file.read(offset, len)?;
            if offset.saturating_add(u64::from(len)) >= file.size() {
                self.files.close(node);
            } else if self.view.holds_much() {
                self.files.make_room(node);
            }
            Ok(move |reply: ReplyData| reply.data(&bytes))
        });
    }

    fn lseek(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        self.answer(request, reply, || {
            let file = match self.files.get(node_of(node)) {
                Some(file) => file,
                None => self.files.keep(node_of(node), self.view.open_file(node_of(node))?),
            };
            let past = || Refusal::Errno(Errno::ENXIO);
            let from = u64::try_from(offset).map_err(|_| past())?;
            if from >= file.size() {
                return Err(past());
            }
            let found = match whence {
                SEEK_DATA => file.next_data(from)?.ok_or_else(past)?,
                SEEK_HOLE => file.next_hole(from)?,
                _ => return Err(Refusal::Errno(Errno::EINVAL)),
            };
            let found = i64::try_from(found).map_err(|_| past())?;
            Ok(move |reply: ReplyLseek| reply.offset(found))
        });
    }

    fn opendir(&self, request: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.answer(request, reply, || {
            let node = node_of(node);
            let handle = self.folders.open(&self.view, node)?;
            let flags = match node.is_lasting() {
                true => FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
                false => FopenFlags::empty(),
            };
            Ok(move |reply: ReplyOpen| reply.opened(FileHandle(handle), flags))
        });
    }

    fn readdir(
        &self,
        request: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let add = |reply: &mut ReplyDirectory, listed: &Listed<'_>| {
            let kind = listed.attributes.map_or(fuser::FileType::Directory, |a| file_type(a.kind));
            reply.add(listed.node, listed.cursor, kind, OsStr::from_bytes(listed.name))
        };
        self.list(request, (node, handle, offset), reply, add, ReplyDirectory::ok);
    }

    fn readdirplus(
        &self,
        request: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let is_lasting = node_of(node).is_lasting();
        let add = |reply: &mut ReplyDirectoryPlus, listed: &Listed<'_>| {
            let (live, attributes) = match listed.attributes {
                // One time for both: what is said of the name holds no longer than the folder.
                Some(found) if is_lasting => (time_to_live(found), file_attributes(found)),
                Some(found) => (PASSING, file_attributes(found)),
                None => (Duration::ZERO, super::kernel::dot(listed.node)),
            };
            let name = OsStr::from_bytes(listed.name);
            reply.add(listed.node, listed.cursor, name, &live, &attributes, GENERATION)
        };
        self.list(request, (node, handle, offset), reply, add, ReplyDirectoryPlus::ok);
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.folders.close(handle.0);
        reply.ok();
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.answer(request, reply, || {
            let space = self.view.space();
            let blocks = space.bytes.div_ceil(u64::from(BLOCK));
            // All of it is used and nothing is free, as `df` shows squashfs and CD-ROMs, too.
            Ok(move |reply: ReplyStatfs| {
                reply.statfs(blocks, 0, 0, space.snapshots, 0, BLOCK, NAME_MAX, BLOCK);
            })
        });
    }

    fn getxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        self.answer(request, reply, || {
            let xattrs = self.view.xattrs(node_of(node))?;
            let found = xattrs.iter().find(|xattr| xattr.name == name.as_bytes());
            let value = found.ok_or(Refusal::Errno(Errno::NO_XATTR))?.value.clone();
            sized(size, value)
        });
    }

    fn listxattr(&self, request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer(request, reply, || {
            let is_root = request.uid() == 0;
            let mut names = Vec::new();
            for xattr in self.view.xattrs(node_of(node))?.iter() {
                if is_root || !xattr.name.starts_with(TRUSTED) {
                    names.extend_from_slice(&xattr.name);
                    names.push(0);
                }
            }
            sized(size, names)
        });
    }
}

/// The length of an attribute for whoever asks for that, else its bytes if they fit.
fn sized(room: u32, bytes: Vec<u8>) -> Result<impl FnOnce(ReplyXattr), Refusal> {
    let len = u32::try_from(bytes.len()).map_err(|_| Refusal::Errno(Errno::E2BIG))?;
    if room != 0 && len > room {
        return Err(Refusal::Errno(Errno::ERANGE));
    }
    Ok(move |reply: ReplyXattr| match room {
        0 => reply.size(len),
        _ => reply.data(&bytes),
    })
}
