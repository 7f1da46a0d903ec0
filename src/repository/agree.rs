//! Whether the index says of a pack what the pack's own directory says.

use std::collections::HashMap;

use super::{Index, Location, PackRef, Repository, SegmentInfo};
use crate::format::header::HEADER_LEN;
use crate::format::pack::Directory;

impl Index {
    /// How many records it has for each pack.
    pub fn records_per_pack(&self) -> HashMap<PackRef, u64> {
        let mut counts: HashMap<PackRef, u64> = HashMap::new();
        self.for_each(&mut |_, location| *counts.entry(location.pack).or_default() += 1);
        counts
    }
}

impl Repository {
    /// Compares a pack's own directory with the index, which has `records` records of the pack.
    /// Returns the segments if they agree in everything.
    pub fn index_agrees(
        &self,
        pack: PackRef,
        directory: &Directory,
        records: u64,
    ) -> Option<Vec<SegmentInfo>> {
        let index = self.index();
        let info = index.pack(pack);
        let mut segments = Vec::with_capacity(directory.segments.len());
        let mut chunks = directory.id_list().into_iter().zip(&directory.lengths);
        let mut offset = HEADER_LEN as u64;
        for (number, listed) in directory.segments.iter().enumerate() {
            let segment = SegmentInfo {
                offset,
                sealed_len: listed.sealed_len,
                plain_len: listed.plain_len,
                codec: listed.codec,
                epoch: *directory.epochs.get(listed.epoch_no as usize)?,
            };
            offset += u64::from(listed.sealed_len);
            if index.segment(pack, number as u32) != Some(segment) {
                return None;
            }
            let mut start = 0;
            for (id, len) in chunks.by_ref().take(listed.chunk_count as usize) {
                let is_here = |place: &Location| {
                    (place.segment_no, place.offset, place.len) == (number as u32, start, *len)
                        && (place.pack == pack || index.pack(place.pack).hash == info.hash)
                };
                if !index.find(&id).as_ref().is_some_and(is_here)
                    && !index.find_all(&id).iter().any(is_here)
                {
                    return None;
                }
                start += len;
            }
            segments.push(segment);
        }
        let is_whole = info.segments as usize == segments.len()
            && records == directory.lengths.len() as u64
            && info.pack_type.object_type() as u8 == directory.pack_type;
        is_whole.then_some(segments)
    }
}
