//! Turns sealed segments into the bytes of a pack (SPEC.md, section 9).

use crate::crypto::{Class, OVERHEAD, SealKind, Unit, object_hash, seal};
use crate::format::header::{HEADER_LEN, Header};
use crate::format::pack::{
    Directory, PackType, SegmentRecord, TRAILER_LEN, Trailer, padded_pack_len,
};
use crate::format::record::{Bin, encode};
use crate::model::{EpochId, ObjectHash, RepoId};
use crate::repository::keys::Keys;
use crate::repository::object::seal_record;
use crate::runtime::Random;

/// A segment, compressed and sealed, ready to be placed in a pack.
pub(super) struct SealedSegment {
    pub(super) sealed: Vec<u8>,
    pub(super) plain_len: u32,
    pub(super) codec: u8,
    pub(super) epoch: EpochId,
    pub(super) chunks: Vec<([u8; 32], u32)>,
}

/// A finished pack: its bytes in parts, so that segments need not be copied.
pub(super) struct FinishedPack {
    pub(super) hash: ObjectHash,
    pub(super) len: u64,
    pub(super) directory: Directory,
    head: [u8; HEADER_LEN],
    segments: Vec<SealedSegment>,
    tail: Vec<u8>,
}

impl FinishedPack {
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(self.segments.len() + 2);
        parts.push(&self.head);
        parts.extend(self.segments.iter().map(|s| &s.sealed[..]));
        parts.push(&self.tail);
        parts
    }
}

/// Shuffles the segments and puts header, pad, directory and trailer around them.
pub(super) fn assemble(
    pack_type: PackType,
    mut segments: Vec<SealedSegment>,
    keys: &Keys,
    repo_id: RepoId,
    random: &Random,
) -> FinishedPack {
    shuffle(&mut segments, random);
    let writing = keys.writing();
    let index_key = writing.of(Class::Index);
    let class = match pack_type {
        PackType::Data => Class::Data,
        PackType::Meta => Class::Meta,
    };
    let object_type = pack_type.object_type();
    let head = Header::new(object_type, keys.suite.number(), repo_id, index_key.epoch()).encode();
    let mut directory = Directory {
        pack_type: object_type as u8,
        epochs: Vec::new(),
        segments: Vec::with_capacity(segments.len()),
        ids: Bin(Vec::new()),
        lengths: Vec::new(),
        pad_len: 0,
    };
    for segment in &segments {
        let known = directory.epochs.iter().position(|epoch| *epoch == segment.epoch);
        let epoch_no = known.unwrap_or_else(|| {
            directory.epochs.push(segment.epoch);
            directory.epochs.len() - 1
        });
        directory.segments.push(SegmentRecord {
            sealed_len: segment.sealed.len() as u32,
            plain_len: segment.plain_len,
            codec: segment.codec,
            epoch_no: epoch_no as u32,
            chunk_count: segment.chunks.len() as u32,
        });
        for (id, len) in &segment.chunks {
            directory.ids.0.extend_from_slice(id);
            directory.lengths.push(*len);
        }
    }
    let seal_directory = |directory: &Directory| {
        seal_record(index_key, &head, SealKind::PackDirectory, random, &encode(directory))
    };
    // The length of the pad stands in the directory, whose own length (in coarse steps) counts
    // for the pad: one try more than enough, and a length that misses its step is still valid.
    let unpadded = directory.body_len() + (seal_directory(&directory).len() + TRAILER_LEN) as u64;
    directory.pad_len = (padded_pack_len(unpadded) - unpadded) as u32;
    let mut tail = Vec::new();
    if directory.pad_len > 0 {
        let zeros = vec![0; directory.pad_len as usize - OVERHEAD];
        tail = seal(writing.of(class), Unit::movable(SealKind::Pad), random, &zeros);
    }
    let sealed_directory = seal_directory(&directory);
    let trailer = Trailer {
        directory_offset: directory.body_len(),
        directory_len: sealed_directory.len() as u32,
    };
    tail.extend_from_slice(&sealed_directory);
    tail.extend_from_slice(&trailer.encode());
    let mut pack = FinishedPack {
        hash: ObjectHash([0; 32]),
        len: trailer.directory_offset + (sealed_directory.len() + TRAILER_LEN) as u64,
        directory,
        head,
        segments,
        tail,
    };
    pack.hash = object_hash(&pack.parts());
    pack
}

fn shuffle<T>(items: &mut [T], random: &Random) {
    for last in (1..items.len()).rev() {
        // The bias of the remainder is far below what an observer could count.
        let other = (random.next_u64() % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}
