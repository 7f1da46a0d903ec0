//! How a worker reads files: small ones whole, large ones slice by slice, attributes of all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::content::{ReadTools, SliceContent, read_slice};
use super::job::{Done, SlicedFile};
use super::stream::{StreamError, is_zero};
use super::worker::{Change, Worker};
use crate::error::Result;
use crate::format::page::{encode_xattrs, inline_xattrs};
use crate::fsmeta::{self, Stat, Xattrs};
use crate::model::{Content, Entry, Piece, XattrsRef};
use crate::runtime::{Issue, IssueKind};
use crate::source::WalkEntry;
use crate::tree::content_of;

impl Worker<'_> {
    pub(super) fn file(
        &mut self,
        entry: &mut Entry,
        walked: &WalkEntry,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        let file = walked.open().map_err(StreamError::Source)?;
        self.runtime.progress.current(&walked_path(&entry.path));
        let mut before = walked.stat;
        let mut content = self.read_whole(&file, &before)?;
        let mut after = fsmeta::stat_fd(&file).map_err(StreamError::Source)?;
        if changed(&before, &after) {
            // Its other names stand for the inode that was walked, not for another one that has
            // the name now.
            if walked.stat.nlink > 1 && (after.inode, after.dev) != (before.inode, before.dev) {
                let replaced = io::Error::other("it was replaced while it was looked at");
                return Err(StreamError::Source(replaced));
            }
            // It changed since it was walked, perhaps before it was opened: once more, now with
            // a look before and after.
            before = after;
            content = self.read_whole(&file, &before)?;
            after = fsmeta::stat_fd(&file).map_err(StreamError::Source)?;
        }
        self.runtime.progress.done(0, content.read_len());
        done.stats.bytes_read += content.read_len();
        self.close_file(entry, &file, content, &before, &after, done)
    }

    /// Fills in what the open file tells: attributes, times, and whether it held still.
    fn close_file(
        &mut self,
        entry: &mut Entry,
        file: &File,
        content: FileContent,
        before: &Stat,
        after: &Stat,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        entry.mode = after.mode;
        entry.mtime = before.mtime;
        entry.ctime = before.ctime;
        entry.inode = after.inode;
        // Other names that the walk saw are entries that point at this one, whatever became of
        // them since.
        entry.nlink = after.nlink.max(entry.nlink);
        match content {
            FileContent::Inline(bytes) => {
                entry.size = bytes.len() as u64;
                entry.content = Content::Inline(bytes);
            }
            FileContent::Pieces(content) => {
                entry.size = content.len();
                entry.sparse = content.sparse;
                entry.content = content_of(content.pieces, &mut self.sink)?;
            }
            FileContent::Joined(content) => {
                entry.size = content.len;
                entry.sparse = content.sparse;
                entry.content = content.content;
            }
        }
        entry.torn = changed(before, after);
        if entry.torn {
            let message = "changed while it was read, and will be read again next time".into();
            let path = entry.path.clone();
            self.issue(Issue { kind: IssueKind::Warning, path, message }, done);
        }
        let flags = fsmeta::read_flags(file).unwrap_or(0);
        self.attributes(entry, fsmeta::read_xattrs_fd(file), flags, done)
    }

    /// Reads a whole file on this thread: nearly always one of one slice at most.
    fn read_whole(&mut self, file: &File, stat: &Stat) -> Result<FileContent, StreamError> {
        let inline_max = self.repository.config().pages.inline_max as usize;
        if stat.size > 0 && stat.size <= inline_max as u64 {
            // One byte more than expected: a file that grew is read as any other.
            let mut bytes = vec![0; stat.size as usize + 1];
            let len = file.read_at(&mut bytes, 0).map_err(StreamError::Source)?;
            if len as u64 == stat.size {
                bytes.truncate(len);
                if !is_zero(&bytes) {
                    bytes.shrink_to_fit();
                    return Ok(FileContent::Inline(bytes));
                }
            }
        }
        let slice_len = self.repository.config().chunker.slice_len;
        let mut content = SliceContent::default();
        let mut start = 0;
        loop {
            let slice = self.read_part(file, stat, start..start + slice_len)?;
            let is_last = slice.len() < slice_len;
            content.append(slice);
            if is_last {
                break;
            }
            start += slice_len;
        }
        if content.len() <= inline_max as u64
            && content.pieces.iter().any(|p| matches!(p, Piece::Chunk(..)))
        {
            // A system's own file, with a size of 0 and content all the same.
            let mut bytes = vec![0; content.len() as usize];
            let len = file.read_at(&mut bytes, 0).map_err(StreamError::Source)?;
            bytes.truncate(len);
            return Ok(FileContent::Inline(bytes));
        }
        Ok(FileContent::Pieces(content))
    }

    fn read_part(
        &mut self,
        file: &File,
        stat: &Stat,
        part: std::ops::Range<u64>,
    ) -> Result<SliceContent, StreamError> {
        let mut tools = ReadTools {
            sink: &mut self.sink,
            buffer: &mut self.buffer,
            cancel: &self.runtime.cancel,
        };
        read_slice(file, stat, part, &mut tools)
    }

    pub(super) fn attributes(
        &mut self,
        entry: &mut Entry,
        xattrs: io::Result<Xattrs>,
        flags: u32,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        entry.inode_flags = flags;
        let xattrs = match xattrs {
            Ok(xattrs) => xattrs,
            Err(error) => {
                let message = format!("its attributes could not be read: {error}");
                let path = entry.path.clone();
                self.issue(Issue { kind: IssueKind::Warning, path, message }, done);
                Xattrs::default()
            }
        };
        for (name, error) in &xattrs.unreadable {
            let name = crate::model::escape_bytes(name);
            let message = format!("its attribute {name} could not be read: {error}");
            let path = entry.path.clone();
            self.issue(Issue { kind: IssueKind::Warning, path, message }, done);
        }
        let inline_max = self.repository.config().pages.inline_max;
        entry.xattrs = if xattrs.list.is_empty() {
            XattrsRef::None
        } else if inline_xattrs(&xattrs.list, inline_max) {
            XattrsRef::Inline(xattrs.list)
        } else {
            XattrsRef::Page(self.sink.put_page(&encode_xattrs(&xattrs.list))?)
        };
        Ok(())
    }

    pub(super) fn slice(&mut self, file: &SlicedFile, number: u64) -> Result<()> {
        let slice_len = self.repository.config().chunker.slice_len;
        let start = number * slice_len;
        let read = match file.open() {
            Err(error) => Err(error),
            Ok((opened, stat)) => {
                self.runtime.progress.current(&walked_path(&file.entry.path));
                match self.read_part(&opened, &stat, start..start + slice_len) {
                    Ok(content) => Ok(content),
                    Err(StreamError::Source(error)) => Err(error),
                    Err(StreamError::Sink(error)) => return Err(error),
                }
            }
        };
        if let Ok(content) = &read {
            self.runtime.progress.done(0, content.len());
        }
        self.join_slice(file, number, read)?;
        if file.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let mut done = Done::new(file.seq);
        match self.join_slices(file, &mut done) {
            Ok(()) => {}
            Err(StreamError::Source(error)) => {
                self.source_error(file.entry.path.clone(), &error, &mut done);
            }
            Err(StreamError::Sink(error)) => return Err(error),
        }
        let _ = self.done.send(done);
        Ok(())
    }

    /// Takes a slice, and adds to the file's list what is in order now.
    fn join_slice(
        &mut self,
        file: &SlicedFile,
        number: u64,
        slice: io::Result<SliceContent>,
    ) -> Result<()> {
        let slice_len = self.repository.config().chunker.slice_len;
        let joined = &mut *file.joined.lock();
        joined.waiting.insert(number, slice);
        while let Some(slice) = joined.waiting.remove(&joined.next) {
            // A file that shrank while it was read ends where its first short slice ends.
            joined.ended |= joined.list.len() < joined.next * slice_len;
            joined.next += 1;
            if joined.ended || joined.error.is_some() {
                continue;
            }
            match slice {
                Err(error) => joined.error = Some(error),
                Ok(slice) => {
                    joined.list.extend(slice.pieces, &mut self.sink)?;
                    joined.sparse |= slice.sparse;
                    joined.read += slice.read;
                }
            }
        }
        Ok(())
    }

    fn join_slices(&mut self, file: &SlicedFile, done: &mut Done) -> Result<(), StreamError> {
        let (opened, before) = file.open().map_err(StreamError::Source)?;
        let joined = std::mem::take(&mut *file.joined.lock());
        if let Some(error) = joined.error {
            return Err(StreamError::Source(error));
        }
        let content = JoinedContent {
            len: joined.list.len(),
            content: joined.list.finish(&mut self.sink)?,
            sparse: joined.sparse,
            read: joined.read,
        };
        done.stats.bytes_read += content.read;
        let after = fsmeta::stat_fd(&*opened).map_err(StreamError::Source)?;
        // What the walk saw counts too: the slices were planned by it.
        let before = if changed(&file.walked.stat, &before) { file.walked.stat } else { before };
        let mut entry = file.entry.clone();
        let content = FileContent::Joined(content);
        self.close_file(&mut entry, &opened, content, &before, &after, done)?;
        self.count(&entry, if file.known { Change::Changed } else { Change::New }, done);
        done.entries.push(entry);
        Ok(())
    }
}

enum FileContent {
    Inline(Vec<u8>),
    Pieces(SliceContent),
    Joined(JoinedContent),
}

/// The content of a file whose slices were put together.
struct JoinedContent {
    content: Content,
    len: u64,
    sparse: bool,
    read: u64,
}

impl FileContent {
    fn read_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Pieces(content) => content.len(),
            Self::Joined(content) => content.len,
        }
    }
}

/// Whether a file was written to, or replaced, between two looks at it.
fn changed(before: &Stat, after: &Stat) -> bool {
    before.size != after.size
        || before.mtime != after.mtime
        || before.ctime != after.ctime
        || before.inode != after.inode
        || before.dev != after.dev
}

fn walked_path(path: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::path::PathBuf::from(std::ffi::OsString::from_vec([b"/", path].concat()))
}
