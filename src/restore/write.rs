//! Writes parts of files: bytes that were checked, and zeros.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::files::{FileTask, Identity, Origin, Part};
use super::worker::Worker;
use crate::fsmeta;

impl Worker<'_, '_> {
    /// Writes bytes that were checked.
    pub(super) fn write(&mut self, file: &Arc<FileTask>, offset: u64, bytes: &[u8]) {
        if self.ctx.options.dry_run {
            self.ctx.ledger.bytes_done(bytes.len() as u64);
            return self.part_done(file, None);
        }
        let mut open = None;
        if !file.has_failed() {
            let written = self.open(file).and_then(|opened| {
                file.touch();
                opened.write_all_at(bytes, offset)?;
                open = Some(opened);
                Ok(())
            });
            match written {
                Ok(()) => {
                    self.ctx.ledger.bytes_written(bytes.len() as u64);
                    self.ctx.ledger.bytes_done(bytes.len() as u64);
                }
                Err(error) => file.fail(self.ctx, "write", error),
            }
        }
        self.part_done(file, open);
    }

    pub(super) fn write_zeros(&mut self, part: &Part) {
        let (file, len) = (&part.file, part.piece.len());
        if self.ctx.options.dry_run {
            self.ctx.ledger.bytes_done(len);
            return self.part_done(file, None);
        }
        let mut open = None;
        if !file.has_failed() {
            let written = self.open(file).and_then(|opened| {
                file.touch();
                zero(&opened, part.offset, len, file)?;
                open = Some(opened);
                Ok(())
            });
            match written {
                Ok(()) => self.ctx.ledger.bytes_done(len),
                Err(error) => file.fail(self.ctx, "write", error),
            }
        }
        self.part_done(file, open);
    }

    /// Gives a part back. After the last one the file is finished, else it stays open for more.
    pub(super) fn part_done(&mut self, file: &Arc<FileTask>, open: Option<File>) {
        if file.release() {
            let open = open.or_else(|| self.files.take(file.id));
            self.finish(file, open);
        } else if let Some(open) = open {
            self.files.put(file.id, open);
        }
    }

    /// Opens a file to be written; makes it if nobody did.
    pub(super) fn open(&mut self, file: &FileTask) -> io::Result<File> {
        if let Some(open) = self.files.take(file.id) {
            return Ok(open);
        }
        let dir = self.dirs.get(&self.ctx.target, &file.dir)?;
        let name = file.work_name();
        let mut state = file.state.lock();
        if let Some(identity) = state.identity {
            let open = fsmeta::open_file_to_write_at(dir, &name)?;
            if Identity::from(&fsmeta::stat_fd(&open)?) == identity {
                return Ok(open);
            }
            return Err(io::Error::other("somebody replaced it while it was restored"));
        }
        let open = match fsmeta::create_file_at(dir, &name) {
            // An interrupted restore left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && file.is_staged => {
                fsmeta::remove_file_at(dir, &name)?;
                fsmeta::create_file_at(dir, &name)?
            }
            open => open?,
        };
        if file.attributes.flags != 0 {
            fsmeta::prepare_flags(&open, file.attributes.flags);
        }
        // Nobody looks for a file again whose last part is being done.
        if !file.is_last_part() {
            state.identity = Some(Identity::from(&fsmeta::stat_fd(&open)?));
        }
        Ok(open)
    }
}

/// Zeros that are shorter are written, since setting space aside costs more.
const ALLOCATE_MIN: u64 = 1 << 20;

/// Makes a range of a file read as zeros: a hole in sparse files, space set aside in others.
fn zero(open: &File, offset: u64, len: u64, file: &FileTask) -> io::Result<()> {
    let is_new = file.origin != Origin::InPlace;
    if !is_new {
        match fsmeta::punch_hole(open, offset, len) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return write_zeros(open, offset, len);
            }
            result => result?,
        }
    }
    if file.is_sparse {
        return Ok(());
    }
    if len < ALLOCATE_MIN {
        return write_zeros(open, offset, len);
    }
    match fsmeta::allocate(open, offset, len) {
        // It reads as zeros, only without space set aside.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

fn write_zeros(open: &File, offset: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let end = offset.saturating_add(len);
    let mut at = offset;
    while at < end {
        let step = (end - at).min(ZEROS.len() as u64);
        open.write_all_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Files of one thread that wait for more parts.
#[derive(Default)]
pub(super) struct OpenFiles(Vec<(u64, File)>);

/// Open files a thread keeps: all threads together stay far below what a process may have open.
const FILES_OPEN: usize = 8;

impl OpenFiles {
    fn take(&mut self, id: u64) -> Option<File> {
        let at = self.0.iter().position(|(known, _)| *known == id)?;
        Some(self.0.remove(at).1)
    }

    fn put(&mut self, id: u64, file: File) {
        if self.0.len() >= FILES_OPEN {
            self.0.remove(0);
        }
        self.0.push((id, file));
    }
}
