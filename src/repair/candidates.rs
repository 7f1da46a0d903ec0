//! Where in a damaged pack segments should be: by its own directory, if that can be read, and by
//! the index.

use std::collections::HashMap;

use crate::error::Result;
use crate::format::header::HEADER_LEN;
use crate::format::pack::{Directory, PackType};
use crate::model::ObjectHash;
use crate::repository::{PackInfo, PackRef, Repository, SegmentInfo};

/// A segment that should be in a pack.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) segment: SegmentInfo,
    /// Its chunks, in order.
    pub(super) chunks: Vec<Part>,
}

/// A chunk that should be in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) id: [u8; 32],
}

impl Candidate {
    /// Whether the chunks are all of the segment: it can be copied as it is then.
    pub(super) fn is_complete(&self) -> bool {
        let mut at = 0;
        let follows = self.chunks.iter().all(|part| {
            let follows = part.start == at;
            at = part.start.saturating_add(part.len);
            follows
        });
        follows && at == self.segment.plain_len
    }
}

/// What the index says of some packs, by pack.
pub(super) struct Indexed(HashMap<ObjectHash, (PackInfo, Vec<Candidate>)>);

impl Indexed {
    /// Collects what the index says of `packs`: goes through all of it once.
    pub(super) fn of(repository: &Repository, packs: &[ObjectHash]) -> Self {
        let index = repository.index();
        let mut wanted: HashMap<PackRef, Vec<(u32, Part)>> = HashMap::new();
        let mut infos = HashMap::new();
        for (pack, info) in index.packs() {
            if packs.contains(&info.hash) {
                wanted.insert(pack, Vec::new());
                infos.insert(pack, info);
            }
        }
        index.for_each(&mut |id, place| {
            if let Some(parts) = wanted.get_mut(&place.pack) {
                let part = Part { start: place.offset, len: place.len, id: *id };
                parts.push((place.segment_no, part));
            }
        });
        let of_pack = |(pack, mut parts): (PackRef, Vec<(u32, Part)>)| {
            parts.sort_unstable();
            let candidates = parts
                .chunk_by(|a, b| a.0 == b.0)
                .filter_map(|parts| {
                    let segment = index.segment(pack, parts[0].0)?;
                    let chunks = parts.iter().map(|(_, part)| *part).collect();
                    Some(Candidate { segment, chunks })
                })
                .collect();
            let info = infos[&pack];
            (info.hash, (info, candidates))
        };
        Self(wanted.into_iter().map(of_pack).collect())
    }

    /// What the index says of a pack.
    pub(super) fn get(&self, pack: &ObjectHash) -> Option<&(PackInfo, Vec<Candidate>)> {
        self.0.get(pack)
    }
}

/// What the pack's own directory says.
///
/// # Errors
/// [`crate::error::Error::Damaged`] if it cannot be read, and the storage's.
pub(super) fn of_directory(
    repository: &Repository,
    hash: ObjectHash,
    len: u64,
    pack_type: PackType,
) -> Result<Vec<Candidate>> {
    let directory = repository.pack_directory(hash, len, pack_type)?;
    Ok(candidates(&directory))
}

fn candidates(directory: &Directory) -> Vec<Candidate> {
    let mut chunks = directory.id_list().into_iter().zip(&directory.lengths);
    let mut offset = HEADER_LEN as u64;
    directory
        .segments
        .iter()
        .filter_map(|listed| {
            let segment = SegmentInfo {
                offset,
                sealed_len: listed.sealed_len,
                plain_len: listed.plain_len,
                codec: listed.codec,
                epoch: *directory.epochs.get(listed.epoch_no as usize)?,
            };
            offset += u64::from(listed.sealed_len);
            let mut start = 0;
            let parts = chunks.by_ref().take(listed.chunk_count as usize).map(|(id, len)| {
                let part = Part { start, len: *len, id };
                start += len;
                part
            });
            Some(Candidate { segment, chunks: parts.collect() })
        })
        .collect()
}
