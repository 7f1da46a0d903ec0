//! Reads runs of segments and single chunks, checks them, and hands on what is good.

use super::context::is_out_of_reach;
use super::fetch::{LocatedPart, Run};
use super::files::Part;
use super::worker::Worker;
use crate::error::{Error, Result};
use crate::model::{ChunkId, Piece};
use crate::repository::SegmentInfo;

/// More than any run has: its longest segment, and what is read around it.
const SEALED_MAX: u64 = 32 << 20;

impl Worker<'_, '_> {
    /// Reads a run with one call. If that fails its segments are read one by one, and if one of
    /// those is bad, other copies of its chunks are tried.
    pub(super) fn fetch(&mut self, run: &Run, parts: &[LocatedPart]) {
        if let Some(segment) = run.segments.first() {
            self.ctx.ledger.current(&parts[segment.parts.start].part.file.path());
        }
        let mut sealed = std::mem::take(&mut self.sealed);
        let is_read = match self.read_run(run, &mut sealed) {
            Err(error) if is_out_of_reach(&error) => return self.ctx.stop.set(error),
            result => result.is_ok(),
        };
        for segment in &run.segments {
            if self.ctx.is_stopped() {
                break;
            }
            let start = (segment.info.offset - run.bytes.start) as usize;
            let end = start + segment.info.sealed_len as usize;
            let mut plain = std::mem::take(&mut self.plain);
            let decoded = match sealed.get_mut(start..end) {
                Some(bytes) if is_read => {
                    self.reader.decode(&run.pack, &segment.info, bytes, &mut plain).is_ok()
                        || self.reader.decode_elsewhere(&run.pack, &segment.info, &mut plain)
                }
                _ => self.read_segment(run, &segment.info, &mut plain),
            };
            self.write_parts(&parts[segment.parts.clone()], decoded.then_some(&plain[..]));
            self.plain = plain;
        }
        self.sealed = sealed;
    }

    fn read_run(&self, run: &Run, sealed: &mut Vec<u8>) -> Result<()> {
        let len = run.bytes.end - run.bytes.start;
        if len > SEALED_MAX {
            return Err(Error::damaged(run.pack.object_name(), "a segment is too long"));
        }
        if sealed.len() < len as usize {
            sealed.resize(len as usize, 0);
        }
        let name = run.pack.object_name();
        let wanted = &mut sealed[..len as usize];
        self.ctx.repository.storage().get_range(&name, run.bytes.start, wanted)?;
        self.ctx.ledger.transferred(len);
        Ok(())
    }

    /// Reads one segment of a run that could not be read as a whole.
    fn read_segment(&mut self, run: &Run, info: &SegmentInfo, plain: &mut Vec<u8>) -> bool {
        if u64::from(info.sealed_len) > SEALED_MAX {
            return false;
        }
        let mut sealed = vec![0; info.sealed_len as usize];
        let storage = self.ctx.repository.storage();
        storage.get_range(&run.pack.object_name(), info.offset, &mut sealed).is_ok()
            && self.reader.decode(&run.pack, info, &mut sealed, plain).is_ok()
            || self.reader.decode_elsewhere(&run.pack, info, plain)
    }

    /// Writes the parts of one segment; `plain` is `None` if it is bad.
    fn write_parts(&mut self, parts: &[LocatedPart], plain: Option<&[u8]>) {
        let mut checked = None;
        for LocatedPart { location, part } in parts {
            let Piece::Chunk(id, len) = part.piece else { continue };
            let start = location.offset as usize;
            let bytes = plain
                .filter(|_| location.len == len)
                .and_then(|plain| plain.get(start..start + len as usize));
            match bytes {
                // The same chunk in many places is checked once.
                Some(bytes) if checked == Some((*location, id)) || self.is_chunk(bytes, id) => {
                    checked = Some((*location, id));
                    self.write(&part.file, part.offset, bytes);
                }
                _ => self.fetch_one(part),
            }
        }
    }

    fn is_chunk(&self, bytes: &[u8], id: ChunkId) -> bool {
        self.ctx.repository.constants().chunk_id(bytes) == id
    }

    /// Restores one part by itself: looks for its chunk everywhere, or writes its zeros.
    pub(super) fn fetch_one(&mut self, part: &Part) {
        let Piece::Chunk(id, len) = part.piece else { return self.write_zeros(part) };
        let bytes = match self.reader.chunk(id) {
            Ok(bytes) if bytes.len() == len as usize => Ok(bytes),
            Ok(_) => Err(format!("chunk {id} has another length than the manifest says")),
            Err(error) if is_out_of_reach(&error) => return self.ctx.stop.set(error),
            Err(error) => Err(error.to_string()),
        };
        match bytes {
            Ok(bytes) => self.write(&part.file, part.offset, &bytes),
            Err(reason) => {
                part.file.lose(part.range(), reason);
                self.part_done(&part.file, None);
            }
        }
    }
}
