//! Groups wanted chunks so that each segment is read and decoded once, and neighbouring segments
//! are read together.

use std::ops::Range;

use super::files::Part;
use crate::repository::{Location, PackInfo, PackRef, SegmentInfo};

/// A chunk that a file needs, and where it is stored.
pub(super) struct LocatedPart {
    pub(super) location: Location,
    pub(super) part: Part,
}

/// Segments of one pack that are read with one call.
pub(super) struct Run {
    pub(super) pack: PackInfo,
    /// Bytes of the pack.
    pub(super) bytes: Range<u64>,
    pub(super) segments: Vec<WantedSegment>,
}

/// A segment of a run.
pub(super) struct WantedSegment {
    pub(super) info: SegmentInfo,
    /// The parts that are in it.
    pub(super) parts: Range<usize>,
}

/// Bytes of a run at most, unless one segment has more: enough to make requests few, little
/// enough that threads share a pack.
const RUN_BYTES: u64 = 4 << 20;
/// Unwanted bytes between two segments that are read all the same, to save a request.
const GAP_BYTES: u64 = 128 << 10;
/// Reads of parts of packs are rounded, so that storage learns less about lengths of segments.
const ROUND_BYTES: u64 = 64 << 10;

/// What the index knows, as far as runs need it.
pub(super) trait Packs {
    fn pack(&self, pack: PackRef) -> PackInfo;
    fn segment(&self, pack: PackRef, segment_no: u32) -> Option<SegmentInfo>;
}

impl Packs for crate::repository::Index {
    fn pack(&self, pack: PackRef) -> PackInfo {
        self.pack(pack)
    }

    fn segment(&self, pack: PackRef, segment_no: u32) -> Option<SegmentInfo> {
        self.segment(pack, segment_no)
    }
}

/// Sorts `parts` by place and covers them with runs. Parts whose segment the index does not
/// know are in the second list: their chunks have to be looked for one by one.
pub(super) fn plan_runs(packs: &impl Packs, parts: &mut [LocatedPart]) -> (Vec<Run>, Vec<usize>) {
    parts.sort_unstable_by_key(|part| part.location);
    let mut runs = Vec::new();
    let mut strays = Vec::new();
    let mut at = 0;
    for of_pack in parts.chunk_by(|a, b| a.location.pack == b.location.pack) {
        let pack_ref = of_pack[0].location.pack;
        let pack = packs.pack(pack_ref);
        let mut wanted = Vec::new();
        for of_segment in of_pack.chunk_by(|a, b| a.location.segment_no == b.location.segment_no) {
            let parts = at..at + of_segment.len();
            at = parts.end;
            match packs.segment(pack_ref, of_segment[0].location.segment_no) {
                Some(info) => wanted.push(WantedSegment { info, parts }),
                None => strays.extend(parts),
            }
        }
        cover(pack, wanted, &mut runs);
    }
    (runs, strays)
}

/// Covers the wanted segments of one pack. If they are half of it or more, all of it between them
/// is read.
fn cover(pack: PackInfo, wanted: Vec<WantedSegment>, runs: &mut Vec<Run>) {
    let wanted_bytes: u64 = wanted.iter().map(|segment| u64::from(segment.info.sealed_len)).sum();
    let whole = wanted_bytes.saturating_mul(2) >= pack.len;
    let gap_max = if whole { pack.len } else { GAP_BYTES };
    let start = runs.len();
    for segment in wanted {
        let begin = segment.info.offset;
        let end = begin.saturating_add(u64::from(segment.info.sealed_len));
        match runs[start..].last_mut() {
            Some(run)
                if begin >= run.bytes.end
                    && begin - run.bytes.end <= gap_max
                    && end - run.bytes.start <= RUN_BYTES =>
            {
                run.bytes.end = end;
                run.segments.push(segment);
            }
            _ => runs.push(Run { pack, bytes: begin..end, segments: vec![segment] }),
        }
    }
    if !whole {
        for run in &mut runs[start..] {
            run.bytes.start -= run.bytes.start % ROUND_BYTES;
            let end = run.bytes.end.checked_next_multiple_of(ROUND_BYTES).unwrap_or(u64::MAX);
            run.bytes.end = end.min(pack.len).max(run.bytes.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::pack::PackType;
    use crate::model::{EpochId, ObjectHash};

    const KIB: u32 = 1 << 10;

    /// The runs for those of 16 segments of `len` bytes that are wanted.
    fn runs(len: u32, wanted: &[u32]) -> Vec<(Range<u64>, usize)> {
        let pack = PackInfo {
            hash: ObjectHash([1; 32]),
            len: 64 + u64::from(len) * 16 + 5_000,
            pack_type: PackType::Data,
            segments: 16,
        };
        let segment = |number: &u32| WantedSegment {
            info: SegmentInfo {
                offset: 64 + u64::from(number * len),
                sealed_len: len,
                plain_len: len,
                codec: 0,
                epoch: EpochId([0; 8]),
            },
            parts: 0..1,
        };
        let mut runs = Vec::new();
        cover(pack, wanted.iter().map(segment).collect(), &mut runs);
        runs.into_iter().map(|run| (run.bytes, run.segments.len())).collect()
    }

    #[test]
    fn neighbours_are_read_together() {
        // 16 MiB in all, every segment: four requests, nothing twice.
        let all: Vec<u32> = (0..16).collect();
        let runs = runs(1024 * KIB, &all);
        assert_eq!(runs.iter().map(|(_, segments)| segments).sum::<usize>(), 16);
        assert_eq!(runs.len(), 4);
        assert!(runs.windows(2).all(|pair| pair[0].0.end == pair[1].0.start));
    }

    #[test]
    fn gaps_are_read_if_they_are_small_or_half_is_wanted() {
        assert_eq!(runs(100 * KIB, &[2, 4]).len(), 1);
        assert_eq!(runs(200 * KIB, &[2, 4]).len(), 2);
        assert_eq!(runs(200 * KIB, &[0, 1, 2, 4, 6, 8, 10, 12, 14]).len(), 1);
    }

    #[test]
    fn parts_of_packs_are_rounded() {
        let only = runs(200 * KIB, &[3]);
        let (bytes, _) = &only[0];
        assert!(bytes.start.is_multiple_of(ROUND_BYTES) && bytes.end.is_multiple_of(ROUND_BYTES));
        let last = runs(200 * KIB, &[15]);
        assert!(last[0].0.end <= 64 + 16 * 200 * 1024 + 5_000, "not past the end");
    }

    #[test]
    fn a_segment_longer_than_a_run_is_a_run() {
        assert_eq!(runs(5 << 20, &[0, 1, 2]).len(), 3);
    }
}
